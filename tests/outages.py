"""A store that can be taken away while it is used: it refuses, hangs, or does its work and then does not say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, get_ident
from typing import Any

from btcfs.errors import StoreUnavailable
from btcfs.fallback.primary import Deadlines
from btcfs.store import FeatureStore

READS = ("definitions", "read", "commits", "changes", "summary", "get_historical_features", "get_online_features")
WRITES = ("apply", "delete", "write")


class Outage:
    """A ``FeatureStore`` around another one. ``mode`` is how its calls go, ``modes`` the same for single ones.

    ``up``; ``down`` raises StoreUnavailable; ``mute`` does the work and then raises it; ``hang`` blocks until
    ``heal`` and then fails; ``late`` blocks until ``heal`` and then does the work. An exception is raised as it is.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.name = store.name
        self.capabilities = store.capabilities
        self.mode: Any = "up"
        self.modes: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.threads: set[int] = set()
        self._healed = Event()

    @property
    def hanging(self) -> bool:
        """Whether any of its calls blocks."""
        return any(mode in ("hang", "late") for mode in (self.mode, *self.modes.values()))

    def heal(self) -> None:
        """Be up from now on, and let go of what hangs."""
        self.mode, self.modes = "up", {}
        healed, self._healed = self._healed, Event()
        healed.set()

    def __getattr__(self, name: str) -> Any:
        if name == "change_token":
            return getattr(self.store, name)
        raise AttributeError(name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._through("exclusive", lambda: None)
        with self.store.exclusive():
            self.threads.add(get_ident())
            yield

    def _through(self, name: str, work: Callable[[], Any]) -> Any:
        self.calls[name] += 1
        mode, healed = self.modes.get(name, self.mode), self._healed
        if isinstance(mode, BaseException):
            raise mode
        if mode == "mute":
            work()
        if mode in ("down", "mute"):
            raise StoreUnavailable(f"no route to the {self.name}")
        if mode in ("hang", "late"):
            assert healed.wait(60)
        if mode == "hang":
            raise StoreUnavailable("the connection was reset")
        return work()


class ShortWhileHanging:
    """Deadlines for an ``Outage``, so short only while it hangs: that a busy machine is slow is no outage."""

    def __init__(self, primary: Outage, short: Deadlines) -> None:
        self._primary, self._short, self._long = primary, short, Deadlines()

    def __getattr__(self, name: str) -> float | None:
        return getattr(self._short if self._primary.hanging else self._long, name)


def _call(name: str) -> Callable[..., Any]:
    def call(self: Outage, *args: Any, **options: Any) -> Any:
        return self._through(name, lambda: getattr(self.store, name)(*args, **options))

    return call


for _name in (*READS, *WRITES):
    setattr(Outage, _name, _call(_name))
