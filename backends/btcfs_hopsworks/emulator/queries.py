"""Queries as clients describe them (QueryDTO), flattened: one part for each feature group, and how they are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from btcfs_hopsworks.emulator.metadata import Group, Project
from btcfs_hopsworks.emulator.state import State


class QueryRefused(Exception):
    """A query names what is not there, or joins without a key; ``code`` is the server's error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class Column:
    """A feature of one part and the name it has in the answer."""

    feature: str
    output: str


@attrs.frozen
class Link:
    """How a part is joined to an earlier one: pairs of (left feature, right feature)."""

    left_alias: str
    pairs: tuple[tuple[str, str], ...]
    kind: str


@attrs.frozen
class Part:
    """One feature group of a query; ``index`` 0 is the leftmost."""

    index: int
    group: Group
    columns: tuple[Column, ...]
    link: Link | None = None
    prefix: str | None = None
    filter: Mapping[str, Any] | None = None
    commits_from_ms: int | None = None
    commits_to_ms: int | None = None

    @property
    def alias(self) -> str:
        return f"fg{self.index}"


@attrs.frozen
class Plan:
    """A whole query: ``filter`` is the leftmost query's, which may name features of any part."""

    project: Project
    parts: tuple[Part, ...]
    filter: Mapping[str, Any] | None = None
    limit: int | None = None

    @property
    def point_in_time(self) -> bool:
        """Whether right rows must not be later than left ones: only if every group has an event time."""
        return len(self.parts) > 1 and all(part.group.event_time for part in self.parts)

    @property
    def online(self) -> bool:
        return all(part.group.online_enabled for part in self.parts)


def plan(state: State, query: Mapping[str, Any]) -> Plan:
    """The plan of a QueryDTO. QueryRefused if it names unknown groups or features, or a join has no key."""
    parts = tuple(_parts(state, query, _Counter(0), None, None))
    limit = query.get("limit")
    project = state.project_of(parts[0].group)
    return Plan(project, parts, query.get("filter"), int(limit) if limit is not None else None)


@attrs.define
class _Counter:
    next: int

    def take(self) -> int:
        self.next += 1
        return self.next - 1


def _parts(
    state: State, query: Mapping[str, Any], numbers: _Counter, left: Part | None, join: Mapping[str, Any] | None
) -> Iterator[Part]:
    group = group_in(state, query)
    index, prefix = numbers.take(), (join or {}).get("prefix")
    part = Part(
        index=index,
        group=group,
        columns=_columns(state, group, query, prefix),
        link=_link(left, group, join) if left is not None and join is not None else None,
        prefix=prefix,
        filter=query.get("filter") if index > 0 else None,
        commits_from_ms=query.get("leftFeatureGroupStartTime"),
        commits_to_ms=query.get("leftFeatureGroupEndTime"),
    )
    yield part
    for nested in query.get("joins") or ():
        yield from _parts(state, nested["query"], numbers, part, nested)


def group_in(state: State, query: Mapping[str, Any]) -> Group:
    """The leftmost feature group of a QueryDTO."""
    described = query.get("leftFeatureGroup") or {}
    group = state.groups.get(described.get("id") or -1)
    if group is None:
        raise QueryRefused(270009, f"there is no feature group with id {described.get('id')}")
    return group


def qualified_name(state: State, group: Group, feature: str) -> str:
    """The name of a column that was not selected but asked for all the same."""
    return f"{state.project_of(group).name}_{group.name}_{group.version}_{feature}"


def _columns(state: State, group: Group, query: Mapping[str, Any], prefix: str | None) -> tuple[Column, ...]:
    known = {feature.name for feature in group.features}
    columns = []
    for feature in query.get("leftFeatures") or ():
        name = feature["name"]
        if name not in known:
            raise QueryRefused(270093, f"feature group {group.name} {group.version} has no feature {name!r}")
        if feature.get("useFullyQualifiedName"):
            columns.append(Column(name, qualified_name(state, group, name)))
        else:
            columns.append(Column(name, f"{prefix or ''}{name}"))
    return tuple(columns)


def _link(left: Part, right: Group, join: Mapping[str, Any]) -> Link:
    def names(key: str) -> list[str]:
        return [feature["name"] for feature in join.get(key) or ()]

    on, left_on, right_on = names("on"), names("leftOn"), names("rightOn")
    if on:
        pairs = tuple((name, name) for name in on)
    elif left_on:
        pairs = tuple(zip(left_on, right_on, strict=True))
    else:
        common = [name for name in left.group.primary_key if name in right.primary_key]
        pairs = tuple((name, name) for name in common)
    if not pairs:
        raise QueryRefused(
            270097, f"no key to join {left.group.name} with {right.name}: their primary keys share no feature"
        )
    _check_keys(left.group, [a for a, _ in pairs])
    _check_keys(right, [b for _, b in pairs])
    return Link(left.alias, pairs, str(join.get("type") or "INNER").upper())


def _check_keys(group: Group, names: Sequence[str]) -> None:
    known = {feature.name for feature in group.features}
    missing = [name for name in names if name not in known]
    if missing:
        raise QueryRefused(270093, f"feature group {group.name} has no feature {', '.join(missing)} to join on")
