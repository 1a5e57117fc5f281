"""What the guide reads of a project and of the store behind the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from btcfs.bitcoin.handles import GroupHandle, stable_id

if TYPE_CHECKING:
    from btcfs.bitcoin.store import BitcoinFeatureStore


@attrs.frozen
class Project:
    """The project's name, and a number that follows from it."""

    name: str

    @property
    def id(self) -> int:
        return stable_id("project", self.name)


@attrs.frozen
class NativeStore:
    """The way round the standard group: groups of any name over the same store."""

    _owner: BitcoinFeatureStore

    @property
    def id(self) -> int:
        return stable_id("store", self._owner.project.name)

    def create_feature_group(self, name: str, version: int = 1, description: str = "") -> GroupHandle:
        """The group of that name; one that is not stored is defined by the first frame ingested into it."""
        return self._owner.group(name, version, description)
