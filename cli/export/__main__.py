"""Runs ``mgst-export`` as ``python -m mgst_cli.export``."""

from .command import main

if __name__ == "__main__":
    main()
