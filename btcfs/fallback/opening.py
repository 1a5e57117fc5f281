"""The configured pair of a primary and its mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from btcfs.errors import ConfigError
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.primary import Deadlines
from btcfs.fallback.store import FallbackStore
from btcfs.store import FeatureStore


def pair(
    primary: Callable[[], FeatureStore],
    mirror: FeatureStore,
    *,
    name: str,
    target: str,
    journal: str | Path = ".btcfs-journal",
    deadline: float = 1.0,
    definitions_deadline: float = 10.0,
    read_deadline: float = 60.0,
    write_deadline: float = 300.0,
    open_deadline: float = 30.0,
    hedge: float | None = None,
    failures: int = 3,
    rest: float = 5.0,
    longest_rest: float = 60.0,
    patience: float = 10.0,
) -> FallbackStore:
    """The store over both. What follows ``target`` are the settings ``fallback.*``, times in seconds.

    ``failures`` in a row open the circuit of a kind of call for ``rest``, which doubles up to ``longest_rest``.
    """
    times = {"deadline": deadline, "read_deadline": read_deadline, "write_deadline": write_deadline}
    times |= {"definitions_deadline": definitions_deadline, "open_deadline": open_deadline, "failures": failures}
    for option, value in times.items():
        if value <= 0:
            raise ConfigError(f"fallback.{option} is {value}, expected more than 0")
    return FallbackStore(
        primary,
        mirror,
        journal,
        name=name,
        target=target,
        deadlines=Deadlines(deadline, definitions_deadline, read_deadline, write_deadline, open_deadline, hedge),
        breaker=lambda: Breaker(failures, rest, longest_rest),
        patience=patience,
    )
