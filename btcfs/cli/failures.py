"""The exit code of each error."""

from __future__ import annotations

from btcfs.errors import (
    BtcfsError,
    CheckFailed,
    DefinitionError,
    InsufficientHistory,
    NotFound,
    SchemaError,
    StoreBusy,
    StoreUnavailable,
)

OK = 0
CHECK_FAILED = 1
USAGE = 2  # what click itself uses for a wrong option
REFUSED = 3
UNAVAILABLE = 4
NOT_FOUND = 5

_CODES: tuple[tuple[tuple[type[BtcfsError], ...], int], ...] = (
    ((SchemaError, InsufficientHistory, DefinitionError), REFUSED),
    ((CheckFailed,), CHECK_FAILED),
    ((StoreBusy, StoreUnavailable), UNAVAILABLE),
    ((NotFound,), NOT_FOUND),
)


def exit_code(error: BtcfsError) -> int:
    """1 for a failed check, 3 for refused data, 4 for a busy or unreachable store, 5 for a missing thing, 2 for settings and the rest."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), USAGE)
