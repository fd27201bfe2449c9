"""Configurations that come along: TOML files by command."""
