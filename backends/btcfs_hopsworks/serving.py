"""The Hopsworks feature views behind a btcfs view, one for each of its groups, opened for serving once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import attrs

from btcfs.catalogue import ResolvedView
from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import DefinitionError, StoreUnavailable
from btcfs_hopsworks import columns
from btcfs_hopsworks.columns import ROW, SERVED
from btcfs_hopsworks.gateway import groups, views
from btcfs_hopsworks.gateway.session import Session
from btcfs_hopsworks.history import Logs
from btcfs_hopsworks.ledger import Snapshot

MARK = "btcfs view"


@attrs.frozen(eq=False)
class Found:
    """An online row: times in microseconds, the write that made it, and the features of its part in order."""

    time: int
    event: int
    write: int
    values: tuple[float, ...]


@attrs.frozen(eq=False)
class Door:
    """A view opened for serving, and where in its vectors everything stands."""

    session: Session
    view: Any
    stamps: tuple[int, int, int, int]
    places: tuple[int, ...]

    def one(self, key: str) -> Found | None:
        """The row of that key."""
        values = views.vector(self.session, self.view, {ROW: key})
        return None if not values or values[self.stamps[0]] is None else self._found(values)

    def several(self, keys: Sequence[str]) -> dict[str, Found]:
        """The rows of those keys that have one."""
        distinct = list(dict.fromkeys(keys))
        if len(distinct) == 1:
            found = self.one(distinct[0])
            return {} if found is None else {distinct[0]: found}
        answered = views.vectors(self.session, self.view, [{ROW: key} for key in distinct])
        row = self.stamps[0]
        return {str(values[row]): self._found(values) for values in answered if values and values[row] is not None}

    def _found(self, values: list[Any]) -> Found:
        _, time, event, write = self.stamps
        features = tuple([_number(values[place]) for place in self.places])
        return Found(int(values[time]), int(values[event]), int(values[write]), features)


class Doors:
    """Opened views, by definition; safe for threads, and shared by the stores of a session."""

    def __init__(self, session: Session, logs: Logs) -> None:
        self._session = session
        self._logs = logs
        self._lock = threading.Lock()
        self._opened: dict[tuple[str, int, int], tuple[int, Door]] = {}

    def make(self, resolved: ResolvedView, snapshot: Snapshot) -> None:
        """Make the Hopsworks views; those of an earlier try are made anew. DefinitionError if a name is another's."""
        view = resolved.view
        made: list[str] = []
        try:
            for index, (group, names, _) in enumerate(resolved.parts):
                name = part_name(view, index)
                self._free(view, name)
                handle = self._logs.handle(group, snapshot.head(group))
                wanted = [*SERVED, *(columns.name_of(feature) for feature in names)]
                text = (
                    f"{MARK} {view.title}: {view.description}"
                    if index == 0
                    else f"{MARK} {view.title}, part {index + 1}"
                )
                views.create(self._session, name, view.version, handle, wanted, text)
                made.append(name)
        except BaseException:  # whatever stopped it, a part of a view is of no use
            for name in made:
                views.delete(self._session, name, view.version)
            raise

    def remove(self, view: FeatureView, parts: int) -> None:
        """Delete the Hopsworks views and forget that they were open."""
        for index in range(parts):
            with self._lock:
                self._opened.pop((*view.ref, index), None)
            views.delete(self._session, part_name(view, index), view.version)

    def open(self, view: FeatureView, index: int, names: Sequence[str], defined: int) -> Door:
        """The part of a view, opened at the first call; ``defined`` tells two definitions of one name apart."""
        key = (*view.ref, index)
        known = self._opened.get(key)
        if known is not None and known[0] == defined:
            return known[1]
        with self._lock:
            known = self._opened.get(key)
            if known is None or known[0] != defined:
                known = self._opened[key] = (defined, self._opening(view, index, names))
            return known[1]

    def _opening(self, view: FeatureView, index: int, names: Sequence[str]) -> Door:
        name = part_name(view, index)
        handle = views.find(self._session, name, view.version)
        if handle is None:
            raise StoreUnavailable(
                f"{view.title} is in the catalogue, but its Hopsworks feature view {name} v{view.version} was deleted by other "
                f"hands; delete the view here too and apply it anew"
            )
        views.start_serving(self._session, handle)
        order = {feature: place for place, feature in enumerate(views.names(handle))}
        row, time, event, write = (order[stamp] for stamp in SERVED)
        places = tuple(order[columns.name_of(feature)] for feature in names)
        return Door(self._session, handle, (row, time, event, write), places)

    def _free(self, view: FeatureView, name: str) -> None:
        found = views.find(self._session, name, view.version)
        if found is None:
            return
        if not str(getattr(found, "description", "") or "").startswith(MARK):
            raise DefinitionError(
                f"{view.title}: Hopsworks has a feature view {name} v{view.version} that was not made by btcfs; use another name "
                f"or version"
            )
        views.delete(self._session, name, view.version)


def part_name(view: FeatureView, index: int) -> str:
    """The Hopsworks view of a part: the first has the view's own name."""
    if index == 0:
        return view.name
    return f"btcfs_{hashlib.blake2b(view.name.encode(), digest_size=8).hexdigest()}_{index}"


def page(session: Session, definition: FeatureGroup | FeatureView, logs: Logs, snapshot: Snapshot) -> str:
    """The page of a group or view in Hopsworks."""
    if isinstance(definition, FeatureGroup):
        return groups.url(session, logs.handle(definition, snapshot.head(definition)))
    return views.url(session, definition.name, definition.version)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
