"""From a view and its keys to vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import attrs
import numpy as np

from btcfs import catalogue, keys
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.instants import from_micros
from btcfs.store import FeatureVector
from btcfs_feast.cells import NEWEST, Cell, Cells, key_of
from btcfs_feast.registered import Stored
from btcfs_feast.serving import Serving

_TRUSTED = 1.0  # seconds until the registry is looked at again, lest a view be served that was deleted

Key = tuple[tuple[str, ...], int | None]


@attrs.frozen(eq=False)
class Part:
    """A group of a view: where its features stand in its cells, and in the vector."""

    group: FeatureGroup
    online: Cells
    serving: Serving
    columns: list[int]
    places: list[int]
    entity: list[int]


@attrs.define(eq=False)
class Plan:
    """How a view's vectors are put together, as long as the registry is trusted."""

    view: ResolvedView
    parts: list[Part]
    until: float


class Vectors:
    """``get_online_features`` on Feast's online store; what it has not is asked of the offline store.

    ``known`` reads the definitions anew; ``opened`` gives the online side of a group, in step.
    """

    def __init__(
        self,
        known: Callable[[], Sequence[Stored]],
        opened: Callable[[Stored], tuple[Cells, Serving]],
        defaults: Mapping[str, str],
        source: str,
    ) -> None:
        self._known = known
        self._opened = opened
        self._defaults = defaults
        self._source = source
        self._plans: dict[str, Plan] = {}

    def get(self, view: FeatureView, asked: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        """One vector per key. Errors are those of the protocol."""
        plan = self._plan(view)
        leading = plan.view.leading
        named = [keys.resolve_key(leading, key, self._defaults) for key in asked]
        if not named:
            return []
        values = np.full((len(named), len(view.features)), np.nan)
        first = self._first(plan.parts[0], named)
        newest = [cell.event_time for cell in first]
        for part in plan.parts:
            found = first if part is plan.parts[0] else self._others(part, named, first)
            for row, cell in enumerate(found):
                if cell is not None:
                    values[row, part.places] = cell.values[part.columns]
                    newest[row] = max(newest[row], cell.event_time)
        return [
            FeatureVector(line, from_micros(event), self._source, view.fingerprint, self._full_key(leading, key, cell))
            for line, event, key, cell in zip(values, newest, named, first, strict=True)
        ]

    def forget(self) -> None:
        """Trust no plan any more."""
        self._plans.clear()

    def _plan(self, view: FeatureView) -> Plan:
        plan = self._plans.get(view.fingerprint)
        if plan is not None and time.monotonic() < plan.until:
            return plan
        stored = self._known()
        definitions = [each.definition for each in stored]
        catalogue.same(definitions, view)
        resolved = catalogue.resolve(definitions, view)
        by_group = {each.definition: each for each in stored if isinstance(each.definition, FeatureGroup)}
        parts = []
        for group, names, places in resolved.parts:
            numeric = [feature.name for feature in group.features if feature.numeric]
            entity = [resolved.leading.entity.index(name) for name in group.entity]
            online, serving = self._opened(by_group[group])
            parts.append(Part(group, online, serving, [numeric.index(n) for n in names], list(places), entity))
        plan = self._plans[view.fingerprint] = Plan(resolved, parts, time.monotonic() + _TRUSTED)
        return plan

    def _first(self, part: Part, named: Sequence[Key]) -> list[Cell]:
        """The row of each key in the first group. NotFound, naming it, if there is none."""
        found = []
        for (entity, opens), cell in zip(
            named, part.online.cells([(e, key_of(opens)) for e, opens in named]), strict=True
        ):
            if cell is None:
                known = part.serving
                cell = known.known(entity, None) if opens is None else known.row(entity, opens)
            if cell is None:
                raise keys.no_such_key(part.group, entity, opens)
            found.append(cell)
        return found

    def _others(self, part: Part, named: Sequence[Key], first: Sequence[Cell]) -> list[Cell | None]:
        """The newest row of another group for each key: of all, or of those known at the first group's row."""
        step = None if part.group.step is None else part.group.step // timedelta(microseconds=1)
        entities = [tuple(entity[place] for place in part.entity) for entity, _ in named]
        at = [None if opens is None else cell.event_time for (_, opens), cell in zip(named, first, strict=True)]
        # With an interval, the row that is known from that very instant on has one key only.
        wanted = [NEWEST if t is None or step is None else str(t - step) for t in at]
        found = part.online.cells(list(zip(entities, wanted, strict=True)))
        for row, (entity, instant) in enumerate(zip(entities, at, strict=True)):
            cell = found[row]
            if cell is None or (instant is not None and cell.event_time > instant):
                found[row] = part.serving.known(entity, instant)
        return found

    def _full_key(self, group: FeatureGroup, key: Key, cell: Cell) -> dict[str, Any]:
        parts = dict(zip(group.entity, key[0], strict=True))
        return {name: from_micros(cell.opens) if name == TIME_KEY else parts[name] for name in group.primary_key}
