"""Renders a small demo data set: videos of people who talk, and fakes of them."""

from mgst_data.demo.render import render_demo

__all__ = ["render_demo"]
