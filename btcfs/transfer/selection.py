"""Which definitions a copy or a comparison is about."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from btcfs.catalogue import find_group, ordered
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import ConfigError


@attrs.frozen
class Selection:
    """Feature groups, and the views that need no others."""

    groups: tuple[FeatureGroup, ...]
    views: tuple[FeatureView, ...]

    @property
    def definitions(self) -> tuple[Definition, ...]:
        return (*self.groups, *self.views)


def selected(definitions: Sequence[Definition], names: Sequence[str] = ()) -> Selection:
    """All definitions, or the groups of these names with the views over them alone.

    A name stands for all versions of a group, ``name:2`` for one. NotFound if there is none.
    """
    groups = [d for d in ordered(definitions) if isinstance(d, FeatureGroup)]
    if names:
        wanted = [_named(definitions, name) for name in names]
        groups = [group for group in groups if any(group.ref == ref or ref == (group.name, None) for ref in wanted)]
    refs = {group.ref for group in groups}
    views = [d for d in ordered(definitions) if isinstance(d, FeatureView) and refs >= set(d.groups)]
    return Selection(tuple(groups), tuple(views))


def _named(definitions: Sequence[Definition], text: str) -> tuple[str, int | None]:
    name, colon, version = text.partition(":")
    if colon and not version.isdecimal():
        raise ConfigError(f"group {text!r} is neither a name nor a name and version such as {name}:1")
    number = int(version) if colon else None
    find_group(definitions, name, number)
    return name, number
