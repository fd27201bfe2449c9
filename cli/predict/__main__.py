"""Runs ``mgst-predict`` as ``python -m mgst_cli.predict``, which torchrun needs."""

from .command import main

if __name__ == "__main__":
    main()
