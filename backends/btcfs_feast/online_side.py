"""The online half of a repository's groups, brought into step with what was committed offline."""

from __future__ import annotations

from collections.abc import Callable

from btcfs.definitions import FeatureGroup
from btcfs.errors import StoreBusy, StoreUnavailable
from btcfs_feast.attached import ForeignOnline
from btcfs_feast.cells import Cells, OnlineView
from btcfs_feast.naming import online_name
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

    def serving(self, stored: Stored) -> Serving:
        """What writes the online rows of a group."""
        return self._serving(stored, self._view(stored))

    def in_step(self, stored: Stored) -> tuple[Cells, Serving]:
        """The online side of a group, after what a killed writer left undone; while another writes, as it is."""
        online = self._view(stored)
        serving = self._serving(stored, online)
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

    def _view(self, stored: Stored) -> OnlineView:
        assert isinstance(stored.definition, FeatureGroup)
        if not stored.whole:
            raise StoreUnavailable(
                f"{stored.definition.title} cannot be served: another Feast client took the view "
                f"{online_name(stored.definition)!r} out of the registry of {self._repository.root}. Apply the group "
                f"again, which makes the view anew and leaves the rows"
            )
        return OnlineView(self._repository, stored.definition, stored.identity, stored.online)

    def _serving(self, stored: Stored, online: OnlineView) -> Serving:
        assert isinstance(stored.definition, FeatureGroup)
        expired = _never if stored.foreign is None else stored.foreign.expired
        shelf = self._shelf_of(stored)
        return Serving(stored.definition, stored.identity, shelf, online, self._online_rows, expired)


def _never(_: int) -> bool:
    return False
