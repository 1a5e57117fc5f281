"""What a model is given, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import attrs

from btcfs.definitions.fields import fingerprint_of, to_strings, valid_name, valid_version
from btcfs.errors import DefinitionError


def _refs(refs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((str(name), int(version)) for name, version in refs)


@attrs.frozen
class Label:
    """What a model predicts: the move of ``column`` over the next ``horizon`` candles.

    ``kind`` is ``direction`` (1.0 if the change exceeds ``threshold``, else 0.0) or ``change``
    (in percent). It is known at the event time of the candle ``horizon`` rows later, not before.
    """

    column: str = attrs.field(default="close", validator=valid_name)
    horizon: int = 1
    kind: Literal["direction", "change"] = "direction"
    threshold: float = attrs.field(default=0.0, converter=float)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.horizon, int) or self.horizon < 1:
            raise DefinitionError(f"label horizon {self.horizon!r} is not a whole number of candles of at least 1")
        if self.kind not in ("direction", "change"):
            raise DefinitionError(f"label kind {self.kind!r} is not 'direction' or 'change'")

    @property
    def name(self) -> str:
        return f"label_{self.kind}_{self.horizon}"

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class FeatureView:
    """An ordered choice of features from one or more groups: a model's input, and its label.

    ``groups`` holds (name, version) pairs; each feature name must stand in exactly one of them.
    The first group is the one whose entity the view is looked up by.
    """

    name: str = attrs.field(validator=valid_name)
    version: int = attrs.field(validator=valid_version)
    groups: tuple[tuple[str, int], ...] = attrs.field(converter=_refs)
    features: tuple[str, ...] = attrs.field(converter=to_strings)
    label: Label | None = None
    description: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.groups:
            raise DefinitionError(f"feature view {self.name!r} names no feature group")
        if not self.features:
            raise DefinitionError(f"feature view {self.name!r} names no feature")
        repeated = sorted({name for name in self.features if self.features.count(name) > 1})
        if repeated:
            raise DefinitionError(f"feature view {self.name!r} names {', '.join(repeated)} more than once")

    @property
    def ref(self) -> tuple[str, int]:
        return (self.name, self.version)

    @property
    def title(self) -> str:
        return f"{self.name} v{self.version}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything but the description."""
        content = self.to_dict()
        del content["description"]
        return fingerprint_of(content)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "view",
            "name": self.name,
            "version": self.version,
            "groups": [list(ref) for ref in self.groups],
            "features": list(self.features),
            "label": None if self.label is None else self.label.to_dict(),
            "description": self.description,
        }
