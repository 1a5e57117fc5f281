"""Memory stores with one bug each in their vectors, and the law that catches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import NotFound, SchemaError
from btcfs.memory import MemoryStore
from btcfs.store import FeatureVector


class DropsUnknownKeys(MemoryStore):
    """A key without a row has no vector, and no error."""

    def _found(self, view: FeatureView, key: Mapping[str, Any]) -> list[FeatureVector]:
        try:
            return super().get_online_features(view, [key])
        except NotFound:
            catalogue.same(self.definitions(), view)
            return []

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        return [vector for key in keys for vector in self._found(view, key)]


class ServesBlanks(DropsUnknownKeys):
    """A key without a row has a vector of NaN."""

    def _found(self, view: FeatureView, key: Mapping[str, Any]) -> list[FeatureVector]:
        blank = FeatureVector(np.full(len(view.features), np.nan), None, self.name, view.fingerprint, key)
        return super()._found(view, key) or [blank]


class AnswersEachKeyOnce(MemoryStore):
    """Repeated keys are answered once."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        return super().get_online_features(view, list({str(key): key for key in keys}.values()))


class AnswersInKeyOrder(MemoryStore):
    """Vectors come in the order of their keys."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        return sorted(super().get_online_features(view, keys), key=lambda vector: str(vector.key))


class OrdersVectorsByName(MemoryStore):
    """The values stand in the alphabetical order of their features."""

    def _vector(self, resolved: Any, *others: Any) -> FeatureVector:
        vector = super()._vector(resolved, *others)
        return attrs.evolve(vector, values=vector.values[np.argsort(resolved.view.features)])


class TakesTheLastWritten(MemoryStore):
    """The newest row is the one that was written last."""

    def _by_entity(self, group: FeatureGroup, as_of: Any) -> Any:
        return {
            e: sorted(rows, key=lambda row: row.committed_at) for e, rows in super()._by_entity(group, as_of).items()
        }


class TakesTheLastKey(MemoryStore):
    """The newest row is the one with the greatest open time."""

    def _by_entity(self, group: FeatureGroup, as_of: Any) -> Any:
        return {e: sorted(rows, key=lambda row: row.key) for e, rows in super()._by_entity(group, as_of).items()}


class ServesStaleVectors(MemoryStore):
    """Vectors are cached and never refreshed."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        cache = self.__dict__.setdefault("_cache", {})
        marks = [(view.ref, str(sorted(key.items(), key=str))) for key in keys]
        for mark, key in zip(marks, keys, strict=True):
            if mark not in cache:
                cache[mark] = super().get_online_features(view, [key])[0]
        return [attrs.evolve(cache[mark], values=cache[mark].values.copy()) for mark in marks]


class SharesItsArrays(MemoryStore):
    """The array of a vector is the store's own."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        cache = self.__dict__.setdefault("_cache", {})
        fresh = super().get_online_features(view, keys)
        marks = [(self._open().commits, view.ref, str(sorted(key.items(), key=str))) for key in keys]
        return [cache.setdefault(mark, vector) for mark, vector in zip(marks, fresh, strict=True)]


class IgnoresDefaults(MemoryStore):
    """The default entities are forgotten."""

    def __init__(self, contents: Any, defaults: Any) -> None:
        super().__init__(contents, {})


class PrefersDefaults(MemoryStore):
    """The default entity wins over the one in the key."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        return super().get_online_features(view, [{**key, **self._defaults} for key in keys])


class IgnoresUnknownColumns(MemoryStore):
    """A key may have columns that the group does not have."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        leading = catalogue.resolve(self.definitions(), view).leading if view in self.definitions() else None
        if leading is None:
            return super().get_online_features(view, keys)
        known = [{name: value for name, value in key.items() if name in leading.primary_key} for key in keys]
        return super().get_online_features(view, known)


class GuessesTheNewest(MemoryStore):
    """A key whose time has no row gives the newest row."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        try:
            return super().get_online_features(view, keys)
        except NotFound:
            if not any(TIME_KEY in key for key in keys):
                raise
            return self.get_online_features(view, [{n: v for n, v in k.items() if n != TIME_KEY} for k in keys])


class KnowsTheFuture(MemoryStore):
    """From the other groups comes the newest row, though the key names an earlier candle."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        found = super().get_online_features(view, keys)
        newest = super().get_online_features(view, [{n: v for n, v in k.items() if n != TIME_KEY} for k in keys])
        resolved = catalogue.resolve(self.definitions(), view)
        for _, _, places in resolved.parts[1:]:
            for vector, last in zip(found, newest, strict=True):
                vector.values[list(places)] = last.values[list(places)]
        return found


class HoldsOthersToTheLeader(MemoryStore):
    """Without a time the other groups give what was known at the first group's newest row, not their newest."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        found = super().get_online_features(view, keys)
        return super().get_online_features(view, [vector.key for vector in found])


class NamesAnotherView(MemoryStore):
    """The fingerprint of a vector is its group's."""

    def _vector(self, resolved: Any, *others: Any) -> FeatureVector:
        return attrs.evolve(super()._vector(resolved, *others), fingerprint=resolved.leading.fingerprint)


class AnswersInFloat32(MemoryStore):
    """Vectors are float32."""

    def _vector(self, resolved: Any, *others: Any) -> FeatureVector:
        vector = super()._vector(resolved, *others)
        with np.errstate(over="ignore"):
            return attrs.evolve(vector, values=vector.values.astype("float32"))


class ServesUnknownViews(MemoryStore):
    """A view that was never applied is served."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        self.apply(view)
        return super().get_online_features(view, keys)


class TakesNaiveTimesForUtc(MemoryStore):
    """The time of a key is guessed to be UTC."""

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        try:
            return super().get_online_features(view, keys)
        except SchemaError as refusal:
            if "time zone" not in str(refusal):
                raise
            return super().get_online_features(view, keys[:1])


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    DropsUnknownKeys: "test_an_unknown_key_is_not_found",
    ServesBlanks: "test_an_unknown_key_is_not_found",
    AnswersEachKeyOnce: "test_answers_come_in_the_order_asked",
    AnswersInKeyOrder: "test_answers_come_in_the_order_asked",
    OrdersVectorsByName: "test_a_full_key_gives_its_row",
    TakesTheLastWritten: "test_an_entity_gives_its_newest_row",
    TakesTheLastKey: "test_an_entity_gives_its_newest_row",
    ServesStaleVectors: "test_vectors_follow_each_write",
    SharesItsArrays: "test_a_vector_is_the_askers",
    IgnoresDefaults: "test_default_entities",
    PrefersDefaults: "test_default_entities",
    IgnoresUnknownColumns: "test_a_key_must_fit",
    GuessesTheNewest: "test_an_unknown_key_is_not_found",
    KnowsTheFuture: "test_a_full_key_knows_no_later_row",
    HoldsOthersToTheLeader: "test_an_entity_gives_the_newest_of_each_group",
    NamesAnotherView: "test_what_a_vector_says",
    AnswersInFloat32: "test_what_a_vector_says",
    ServesUnknownViews: "test_what_is_not_applied_is_not_served",
    TakesNaiveTimesForUtc: "test_a_key_must_fit",
}
