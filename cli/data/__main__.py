"""Runs ``mgst-data`` as ``python -m mgst_cli.data``."""

from . import main

if __name__ == "__main__":
    main()
