"""Runs ``mgst-eval`` as ``python -m mgst_cli.evaluate``, which torchrun needs."""

from .command import main

if __name__ == "__main__":
    main()
