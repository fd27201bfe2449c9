"""Configurations that are installed with the package: one folder of TOML files per command."""
