"""Training sets: features as they were known at each decision, the label, and when that label is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue, frames
from btcfs.definitions import FeatureGroup, FeatureView, Label
from btcfs.errors import DefinitionError, InsufficientHistory, NotFound
from btcfs.instants import from_micros, now, to_micros
from btcfs.pipeline.standard import DEFAULT_INTERVAL, named
from btcfs.store import Capability, FeatureStore
from btcfs.training.labels import Floats, Integers, changes, directions, labels, past_changes

Booleans = np.ndarray[Any, np.dtype[np.bool_]]

FORMAT = 1
ARRAYS = ("X", "y", "change", "past", "event_times", "known_at", "price_times", "prices")


@attrs.frozen(eq=False)
class TrainingSet:
    """One row per decision, ascending in time, every feature and label known; arrays are read-only.

    ``X`` is float64 (n, d) in the order of ``features``; ``y`` the label; ``change`` the move in
    percent that the label is made of and ``past`` the move of the same length that had just ended.
    ``event_times`` are the decisions and ``known_at`` the instants from which the labels are known,
    in microseconds. ``price_times`` and ``prices`` are all closes the labels were made from.
    ``provenance`` says where the rows come from; it is no part of the ``hash``.
    """

    view: FeatureView
    label: Label
    features: tuple[str, ...]
    X: Floats
    y: Floats
    change: Floats
    past: Floats
    event_times: Integers
    known_at: Integers
    price_times: Integers
    prices: Floats
    provenance: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name in ARRAYS:
            dtype = np.int64 if name in ("event_times", "known_at", "price_times") else np.float64
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def direction(self) -> Floats:
        """1.0 where the move exceeds the label's threshold, else 0.0."""
        return directions(self.change, self.label.threshold) if self.label.kind == "change" else self.y

    @property
    def hash(self) -> str:
        """SHA-256 of the view, the label, the columns and every bit of the arrays."""
        digest = hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode())
        for name in ARRAYS:
            array = getattr(self, name)
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    def until(self, row: int) -> TrainingSet:
        """The rows before that one, with all prices."""
        rows = ("X", "y", "change", "past", "event_times", "known_at")
        return attrs.evolve(self, **{name: getattr(self, name)[:row] for name in rows})

    def identity(self) -> dict[str, Any]:
        """What the arrays mean; with their bits it makes the hash."""
        return {
            "format": FORMAT,
            "view": self.view.fingerprint,
            "label": self.label.to_dict(),
            "features": list(self.features),
            "shape": list(self.X.shape),
            "prices": len(self.prices),
        }


def training_view(store: FeatureStore, view: FeatureView | str | None = None) -> FeatureView:
    """The stored view to train from, by default the standard daily one; NotFound, with the next command, if absent."""
    if isinstance(view, FeatureView):
        return view
    standard = named("bitcoin_training_view", DEFAULT_INTERVAL)
    name = view or standard
    try:
        return catalogue.find_view(store.definitions(), name)
    except NotFound as exc:
        other = name.removeprefix(f"{standard}_")  # the interval, in the name of a standard view that is not daily
        interval = "" if other == name else f" --interval {other}"
        raise NotFound(
            f"{exc}. Run btcfs ingest historical --days 2000{interval}, then btcfs ingest create-view{interval}, then train again"
        ) from exc


def materialise(
    store: FeatureStore,
    view: FeatureView,
    *,
    label: Label | None = None,
    entity: Mapping[str, str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    candles: str | None = None,
) -> TrainingSet:
    """The view's rows with ``start <= event time < end``, joined point in time, each with a known label.

    ``label`` goes before the view's own; ``entity`` defaults to BTC-USD where the group has a symbol.
    ``as_of`` is the knowledge instant of every read, by default now, so that a commit in between
    changes nothing; on a backend without time travel it stays empty and the provenance says so.
    Rows without a known label or with a missing feature are dropped and counted. Where a mirror answered instead
    of the store, the provenance has ``fallback_reason``. DefinitionError
    for a view without a label; NotFound if its price is stored nowhere; InsufficientHistory if no
    row is left.
    """
    chosen = _label(view, label)
    group = catalogue.find_group(store.definitions(), *view.groups[0])
    where = _entity(group, entity)
    if as_of is None and Capability.TIME_TRAVEL in store.capabilities:
        as_of = now()
    prices = _prices(store, group, chosen, where, as_of, candles)
    if not len(prices):
        raise _nothing(group, where, as_of)
    price_times, closes = frames.micros(prices[group.event_time]), prices[chosen.column].to_numpy(dtype=np.float64)
    values, known_at = labels(price_times, closes, chosen)
    change, _ = changes(price_times, closes, chosen.horizon)
    past = past_changes(price_times, closes, chosen.horizon)

    spine = store.read(group, start, end, entity=where, columns=(*group.entity, group.event_time), as_of=as_of)
    spine = spine.sort_values(group.event_time, ignore_index=True)
    joined = store.get_historical_features(view, spine, as_of=as_of)
    times = frames.micros(joined[group.event_time])
    X = joined[list(view.features)].to_numpy(dtype=np.float64)
    at, priced = _positions(price_times, times)
    y = np.where(priced, values[at], np.nan)
    complete = ~np.isnan(X).any(axis=1)
    kept = complete & ~np.isnan(y) & ~np.isnan(past[at])
    dropped = _dropped(complete, ~np.isnan(past[at]), ~np.isnan(y))
    if not kept.any():
        raise _all_dropped(view, chosen.horizon, len(times), dropped)
    provenance = _provenance(store, view, chosen, where, (start, end, as_of), times[kept], dropped, len(times))
    provenance |= _fallback(prices, spine, joined)
    rows = at[kept]
    return TrainingSet(
        view, chosen, tuple(view.features), X[kept], y[kept], change[rows], past[rows],
        times[kept], known_at[rows], price_times, closes, provenance,
    )  # fmt: skip


def _nothing(group: FeatureGroup, entity: Mapping[str, str], as_of: datetime | None) -> InsufficientHistory:
    market = " ".join([*entity.values(), group.interval or ""]).strip()
    known = "" if as_of is None else f" known as of {as_of.isoformat()}"
    remedy = "btcfs ingest historical brings them, btcfs store info shows what is stored"
    return InsufficientHistory(2, 0, f"labels of {market}{known}", remedy)


def _all_dropped(view: FeatureView, horizon: int, rows: int, dropped: Mapping[str, int]) -> InsufficientHistory:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    remedy = f"all were left out ({reasons}); ingest a longer history with btcfs ingest historical --days N"
    if not rows:
        remedy = "there is none from start to end; btcfs store info shows what is stored"
    return InsufficientHistory(rows + horizon + 1, rows, f"training rows of {view.title}", remedy)


def _label(view: FeatureView, label: Label | None) -> Label:
    chosen = label or view.label
    if chosen is None:
        raise DefinitionError(
            f"view {view.title} has no label; train from a view that btcfs ingest create-view made, or pass a label"
        )
    return chosen


def _entity(group: FeatureGroup, entity: Mapping[str, str] | None) -> dict[str, str]:
    given = dict(entity or {})
    if "symbol" in group.entity:
        given.setdefault("symbol", "BTC-USD")
    absent = [name for name in group.entity if name not in given]
    if absent:
        raise DefinitionError(
            f"{group.title} is keyed by {', '.join(group.entity)}; say which {', '.join(absent)} to train on"
        )
    return given


def _prices(
    store: FeatureStore,
    group: FeatureGroup,
    label: Label,
    entity: Mapping[str, str],
    as_of: datetime | None,
    candles: str | None,
) -> pd.DataFrame:
    """Event time and the label's price of every candle: from the leading group, else from the candle group."""
    source = group
    if candles is not None or label.column not in group.feature_names:
        name = candles or named("bitcoin_candles", group.interval or DEFAULT_INTERVAL)
        source = catalogue.find_group(store.definitions(), name)
        if label.column not in source.feature_names:
            raise NotFound(f"the label's price {label.column!r} is neither in {group.title} nor in {source.title}")
    held = {name: value for name, value in entity.items() if name in source.entity}
    rows = store.read(source, entity=held, columns=(source.event_time, label.column), as_of=as_of)
    return rows.rename(columns={source.event_time: group.event_time}).sort_values(group.event_time, ignore_index=True)


def _positions(price_times: Integers, times: Integers) -> tuple[Integers, Booleans]:
    """For each decision the row of the price known just then, and whether there is one."""
    at = np.minimum(np.searchsorted(price_times, times), len(price_times) - 1)
    return at, price_times[at] == times


def _provenance(
    store: FeatureStore,
    view: FeatureView,
    label: Label,
    entity: Mapping[str, str],
    query: tuple[datetime | None, datetime | None, datetime | None],
    times: Integers,
    dropped: dict[str, int],
    read: int,
) -> dict[str, Any]:
    stored = store.definitions()
    groups = [catalogue.find_group(stored, name, version) for name, version in view.groups]
    start, end, as_of = (None if instant is None else from_micros(to_micros(instant)).isoformat() for instant in query)
    newest = store.summary(groups[0], entity).end
    return {
        "backend": store.name,
        "view": view.to_dict(),
        "view_fingerprint": view.fingerprint,
        "groups": {g.title: _group_provenance(store, g, query[2]) for g in groups},
        "query": {"entity": dict(entity), "start": start, "end": end, "as_of": as_of},
        "label": label.to_dict(),
        "rows_read": read,
        "first_event_time": from_micros(times[0]).isoformat(),
        "last_event_time": from_micros(times[-1]).isoformat(),
        "newest_stored": None if newest is None else newest.isoformat(),
        "dropped": dropped,
    }  # fmt: skip


def _fallback(*answers: pd.DataFrame) -> dict[str, Any]:
    """Why, and with rows how fresh, another store than the one asked gave one of the answers; nothing if none did."""
    for frame in answers:
        if frame.attrs.get("fallback_reason") is not None:
            return {name: frame.attrs.get(name) for name in ("fallback_reason", "feature_source", "freshness")}
    return {}


def _group_provenance(store: FeatureStore, group: FeatureGroup, as_of: datetime | None) -> dict[str, Any]:
    """A group's definition hashes, and its last commit known then, None where the store keeps no history."""
    known = [] if as_of is None else [c.id for c in store.commits(group) if c.committed_at <= as_of]
    indicators = {indicator.name: indicator.hash for indicator in group.indicators}
    return {"fingerprint": group.fingerprint, "indicators": indicators, "commit": known[-1] if known else None}


def _dropped(complete: Booleans, with_past: Booleans, labelled: Booleans) -> dict[str, int]:
    """Rows left out, by the first reason that applies."""
    first = int(complete.argmax()) if complete.any() else len(complete)
    warmup = np.arange(len(complete)) < first
    missing = ~warmup & ~complete
    early = complete & ~with_past
    return {
        "warm-up": int(warmup.sum()),
        "missing feature": int(missing.sum()),
        "no earlier price": int(early.sum()),
        "label not yet known": int((complete & ~early & ~labelled).sum()),
    }
