"""A small data set rendered on the spot: people who talk, and fakes of them."""

from mgst_data.demo.render import render_demo

__all__ = ["render_demo"]
