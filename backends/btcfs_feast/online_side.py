"""The online half of a repository's groups, brought into step with what was committed offline."""

from __future__ import annotations

from collections.abc import Callable

from btcfs.definitions import FeatureGroup
from btcfs.errors import StoreBusy
from btcfs_feast.attached import ForeignOnline
from btcfs_feast.cells import Cells, OnlineView
from btcfs_feast.registered import Stored
from btcfs_feast.repository import Repository
from btcfs_feast.serving import Serving
from btcfs_feast.shelf import Shelf
from btcfs_feast.turns import Tick, Turns


class OnlineSide:
    """Which online rows belong to a stored group, and how they follow its commits."""

    def __init__(
        self, repository: Repository, turns: Turns, shelf_of: Callable[[Stored], Shelf], online_rows: int
    ) -> None:
        self._repository = repository
        self._turns = turns
        self._shelf_of = shelf_of
        self._online_rows = online_rows
        self._announced: set[str] = set()

    def serving(self, stored: Stored) -> Serving:
        """What writes the online rows of a group."""
        return self._sides(stored)[1]

    def in_step(self, stored: Stored) -> tuple[Cells, Serving]:
        """The online side of a group, after what a killed writer left undone; while another writes, as it is."""
        online, serving = self._sides(stored)
        if stored.foreign is not None:
            return ForeignOnline(self._repository, stored.foreign), serving
        shelf = self._shelf_of(stored)
        entries = shelf.entries()
        if entries and serving.behind(entries[-1].seq):
            try:
                with self._turns.exclusive(timeout=0.0):
                    last = shelf.entries()[-1]
                    if serving.behind(last.seq):
                        serving.catch_up(last.seq, self._turns.tick(Tick(last.seq, last.at)).at)
            except StoreBusy:
                pass  # its writer brings the online rows into step, or the next one does
        return online, serving

    def _sides(self, stored: Stored) -> tuple[OnlineView, Serving]:
        group, identity = stored.definition, stored.identity
        assert isinstance(group, FeatureGroup)
        shelf = self._shelf_of(stored)
        if identity not in self._announced:
            # Feast answers from a copy of the registry, which may be minutes old and not have this group's views.
            with self._repository.translated("registry"):
                self._repository.feast.refresh_registry()
            self._announced.add(identity)
        online = OnlineView(self._repository, group, identity)
        return online, Serving(group, identity, shelf, online, self._online_rows)
