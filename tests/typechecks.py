"""Settings of the run-time type checks of the library in tests."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As in type checkers, an int is accepted for a float (PEP 484).
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
