"""Runs ``mgst-train`` as ``python -m mgst_cli.train``, which torchrun needs."""

from .command import main

if __name__ == "__main__":
    main()
