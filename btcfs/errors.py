"""The exceptions btcfs raises, one for each answer to the question *who must act?*

::

    BtcfsError
    ├── ConfigError          a setting, backend or plugin name is wrong
    ├── DefinitionError      a group, view or indicator is ill-defined or clashes
    ├── SchemaError          rows do not fit their group
    ├── InsufficientHistory  fewer candles than the lookback needs
    ├── NotFound             no such group, view, version or key
    ├── Unsupported          this backend cannot do that
    ├── CheckFailed          a check that must pass did not
    ├── StoreBusy            another process holds the writer's lock
    ├── AuthError            the key is missing, wrong or lacks a scope
    └── StoreUnavailable     the backend cannot be reached
"""

from __future__ import annotations


class BtcfsError(Exception):
    """The root of every error that btcfs raises on purpose."""


class ConfigError(BtcfsError, ValueError):
    """A setting, a backend name or a plugin name is wrong."""


class DefinitionError(BtcfsError, ValueError):
    """A feature group, view or indicator is ill-defined, or clashes with a stored one."""


class SchemaError(BtcfsError, ValueError):
    """Rows do not fit the feature group they are written to."""


class InsufficientHistory(BtcfsError, ValueError):
    """There are fewer candles than the deepest lookback needs.

    ``needed`` and ``have`` count candles, or rows where a ``remedy`` says what to do about them.
    """

    def __init__(self, needed: int, have: int, what: str = "the requested features", remedy: str | None = None) -> None:
        self.needed = needed
        self.have = have
        counted = "candles for one complete row" if remedy is None else "rows"
        default = f"fetch {needed - have} more or ask for features with a shorter lookback"
        super().__init__(f"{what} need at least {needed} {counted}, have {have}; {remedy or default}")


class NotFound(BtcfsError, LookupError):
    """No such group, view, version or key."""


class Unsupported(BtcfsError, NotImplementedError):
    """The backend does not declare the capability that the call needs."""


class CheckFailed(BtcfsError, ValueError):
    """A check that must pass before something may happen did not; the message says which, and why."""


class StoreBusy(BtcfsError, TimeoutError):
    """Another process holds the writer's lock; the message names it."""


class AuthError(BtcfsError, PermissionError):
    """A credential is missing, wrong, or lacks a scope."""


class StoreUnavailable(BtcfsError, ConnectionError):
    """The backend cannot be reached, read or written."""
