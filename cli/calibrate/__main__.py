"""Runs ``mgst-calibrate`` as ``python -m mgst_cli.calibrate``."""

from .command import main

if __name__ == "__main__":
    main()
