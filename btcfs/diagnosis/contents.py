"""Checks of an open store: what it holds, how old that is, its mirror, its journal, its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.diagnosis.value import Diagnosis
from btcfs.errors import BtcfsError
from btcfs.pipeline.verify import Verification
from btcfs.store import Capability, FeatureStore

SLOW_MS = 100.0
HELD, NEAR = 0.95, 0.80
_PASSED = {"ok": True, "warning": None, "failed": False}
_QUICK = ("group", "view", "rows", "freshness")  # the others belong to btcfs verify


def stored(verification: Verification) -> Iterator[Diagnosis]:
    """Groups, views, rows and freshness, as ``btcfs verify`` sees them; the ones that take long are left to it."""
    try:
        for check in verification.checks():
            if check.name == "coverage":
                return
            if check.name in _QUICK:
                yield Diagnosis(check.name, _PASSED[check.status], check.message, check.remedy)
    except BtcfsError as exc:
        yield Diagnosis("contents", False, f"{type(exc).__name__}: {exc}", "btcfs verify")


def clock(store: FeatureStore, at: datetime) -> Diagnosis:
    """Whether this machine's clock is behind what is stored already."""
    ends = [store.summary(d).end for d in store.definitions() if isinstance(d, FeatureGroup)]
    newest = max((end for end in ends if end is not None), default=None)
    if newest is not None and newest > at + timedelta(seconds=1):
        text = f"the newest stored row was known {newest.isoformat()}, and here it is {at.isoformat()}"
        return Diagnosis("clock", False, text, "set this machine's clock (timedatectl set-ntp true)")
    return Diagnosis("clock", True, f"it is {at.isoformat(timespec='seconds')} and nothing stored is later")


def lookup(store: FeatureStore, symbol: str, rounds: int = 5) -> Diagnosis:
    """How long a vector takes."""
    if Capability.ONLINE not in store.capabilities:
        return Diagnosis("lookup", None, f"{store.name} serves no vectors")
    views = [d for d in store.definitions() if isinstance(d, FeatureView)]
    if not views:
        return Diagnosis("lookup", None, "there is no view to look a vector up with", "btcfs ingest create-view")
    taken, reason = [], None
    try:
        for _ in range(rounds):
            began = perf_counter()
            [vector] = store.get_online_features(views[0], [{"symbol": symbol}])
            taken.append((perf_counter() - began) * 1000)
            reason = vector.fallback_reason
    except BtcfsError as exc:
        return Diagnosis("lookup", False, f"no vector of {views[0].title}: {type(exc).__name__}: {exc}", "btcfs verify")
    text = f"a vector of {views[0].title} takes {median(taken):.3g} ms"
    if reason is not None:
        return Diagnosis(
            "lookup", False, f"{text}, and comes from the mirror: {reason}", "see the checks of the backend"
        )
    if median(taken) > SLOW_MS:
        return Diagnosis("lookup", None, text, "keep one store open, ask for many keys at once, use the vector cache")
    return Diagnosis("lookup", True, text)


def mirror(store: Any) -> Iterator[Diagnosis]:
    """The journal, the circuits and the mirror of a store that has them."""
    if not hasattr(store, "pending"):
        return
    entries = store.pending()
    refused = [entry for entry in entries if entry.state == "refused"]
    if refused:
        text = f"{len(refused)} journalled writes are refused, the first {refused[0].title}: {refused[0].why}"
        yield Diagnosis("journal", False, text, "btcfs store sync --again, after its cause is gone")
    elif entries:
        text = (
            f"{len(entries)} writes reached one store only, the first {entries[0].title}: {entries[0].why or 'cut off'}"
        )
        yield Diagnosis("journal", False, text, "btcfs store sync")
    else:
        yield Diagnosis("journal", True, "both stores have every write")
    states = store.circuits()
    worn = [f"{kind} {state}" for kind, state in states.items() if state != "closed"]
    if worn:
        text = f"{store.name} is not asked for {', '.join(worn)}; {store.mirror.name} answers"
        passed = False if "open" in states.values() else None
        yield Diagnosis(
            "circuit", passed, text, "it is tried again by itself; see the checks of the backend for the cause"
        )
    else:
        yield Diagnosis("circuit", True, f"{store.name} is asked for everything")
    yield _in_step(store)


def budget(store: Any) -> Iterator[Diagnosis]:
    """The month's budget of a store that counts."""
    if not hasattr(store, "usage"):
        return
    usage = store.usage()
    text = (
        f"{usage.share:.1%} of the budget for {usage.month} are used, {usage.forecast_share:.0%} at its end at this pace: "
        f"{usage.counts.calls:,} of {usage.budget.calls:,} calls"
    )
    remedy = "cache vectors, write in larger batches, or set your contract's budget"
    if usage.share >= HELD:
        yield Diagnosis("quota", False, f"{text}; calls that can wait are held", remedy)
    else:
        near = usage.share >= NEAR or usage.forecast_share >= 1
        yield Diagnosis("quota", None if near else True, text, remedy if near else "")


def model(folder: Path) -> Diagnosis:
    """Whether a model is active, and whole."""
    from btcfs.training.registry import Registry

    if not folder.is_dir():
        return Diagnosis("model", None, f"there is no folder {folder} of models here", "btcfs train")
    try:
        active = Registry(folder).active()
    except BtcfsError as exc:
        return Diagnosis("model", False, str(exc), "btcfs models list; btcfs models activate VERSION")
    if active is None:
        return Diagnosis("model", None, f"no model in {folder} is active", "btcfs models activate VERSION")
    return Diagnosis("model", True, f"model {active.version} is active")


def guarded(name: str, check: Callable[[], Diagnosis]) -> Diagnosis:
    """A check that cannot be carried out has failed, and says why; the others still tell something."""
    try:
        return check()
    except BtcfsError as exc:
        return Diagnosis(name, False, f"{type(exc).__name__}: {exc}", "see the checks above")


def _in_step(store: Any) -> Diagnosis:
    primary = store.primary.opened
    if primary is None:
        return Diagnosis("mirror", None, f"{store.name} was not reached, so its mirror cannot be compared")
    try:
        groups = [d for d in primary.definitions() if isinstance(d, FeatureGroup)]
        there = {d.ref for d in store.mirror.definitions() if isinstance(d, FeatureGroup)}
        differ = [g for g in groups if g.ref not in there or primary.summary(g).rows != store.mirror.summary(g).rows]
    except BtcfsError as exc:
        return Diagnosis("mirror", None, f"the mirror cannot be compared: {exc}")
    if differ:
        text = f"{len(differ)} of {len(groups)} groups have other rows in the mirror, the first {differ[0].title}"
        remedy = "rows that others wrote are not mirrored; copy them into the mirror once"
        return Diagnosis("mirror", None, text, remedy)
    return Diagnosis(
        "mirror", True, f"{store.mirror.name} has as many rows as {store.name} in all {len(groups)} groups"
    )
