"""The error tree: one root, and each error also what Python calls such a thing."""

from __future__ import annotations

import inspect

import pytest

from btcfs import errors

ALSO = {
    errors.ConfigError: ValueError,
    errors.DefinitionError: ValueError,
    errors.SchemaError: ValueError,
    errors.InsufficientHistory: ValueError,
    errors.NotFound: LookupError,
    errors.Unsupported: NotImplementedError,
    errors.CheckFailed: ValueError,
    errors.StoreBusy: TimeoutError,
    errors.AuthError: PermissionError,
    errors.StoreUnavailable: ConnectionError,
}


@pytest.mark.parametrize(("error", "also"), ALSO.items(), ids=lambda kind: kind.__name__)
def test_each_error_is_ours_and_pythons(error: type[Exception], also: type[Exception]) -> None:
    """A caller may catch the root, the error, or the built-in it is a kind of."""
    assert issubclass(error, errors.BtcfsError)
    assert issubclass(error, also)


def test_the_tree_is_complete_and_drawn() -> None:
    """The module's docstring draws every error there is, and no error catches another but the root."""
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.BtcfsError)}

    assert kinds == {*ALSO, errors.BtcfsError}
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
    assert not [(one, two) for one in ALSO for two in ALSO if one is not two and issubclass(one, two)]


def test_insufficient_history_counts() -> None:
    """It carries how many candles are needed and how many there are, and says how many to fetch."""
    error = errors.InsufficientHistory(200, 10, "sma_200")

    assert (error.needed, error.have) == (200, 10)
    assert "sma_200 need at least 200" in str(error)
    assert "fetch 190 more" in str(error)


@pytest.mark.parametrize("kind", [errors.AuthError, errors.StoreUnavailable, errors.StoreBusy, errors.NotFound])
def test_messages_are_shown_as_they_are(kind: type[Exception]) -> None:
    """Errors that are also OSError or LookupError show their message and nothing around it."""
    assert str(kind("the store is away")) == "the store is away"
