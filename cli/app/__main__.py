"""Runs ``mgst-app`` as ``python -m mgst_cli.app``."""

from .command import main

if __name__ == "__main__":
    main()
