"""Asking a store, at next to no cost, whether anything changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from btcfs.store import FeatureStore

Groups = Sequence[tuple[str, int]]


def change_probe(store: FeatureStore) -> Callable[[Groups], Hashable] | None:
    """The store's ``change_token``: for (name, version) pairs, a value that differs after any commit to those groups.

    Commits of other processes count. It is optional, for a store that has to ask a server would gain
    nothing by it: None means that what was read may be out of date at once, and is not kept.
    """
    probe: Callable[[Groups], Hashable] | None = getattr(store, "change_token", None)
    return probe
