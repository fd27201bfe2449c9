"""How the annotations of the library are checked while tests run."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As for type checkers, an int will do where a float is wanted (PEP 484).
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
