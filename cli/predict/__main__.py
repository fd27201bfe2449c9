"""``python -m mgst_cli.predict``; torchrun starts processes so."""

from .command import main

if __name__ == "__main__":
    main()
