"""What the laws of a backend stand on: the store under test, and what a missing capability means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from btcfs.errors import Unsupported
from btcfs.store import Capability, FeatureStore

OpenStore = Callable[..., FeatureStore]
Test = Callable[..., None]


class Kit:
    """The fixtures of every law."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """A callable that opens a store on the same place each time; it may be given ``defaults``."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a fixture 'open_store' that returns a callable: "
            f"lambda **options: connect(place, **options)"
        )

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[FeatureStore]:
        store = open_store()
        try:
            yield store
        finally:
            store.close()


def needs(*capabilities: Capability) -> Callable[[Test], Test]:
    """Mark a law's needs, writing among them: without one of them, the law's steps must end in Unsupported."""
    needed = {Capability.WRITE, *capabilities}

    def decorate(test: Test) -> Test:
        @wraps(test)
        def checked(self: Kit, **fixtures: Any) -> None:
            if needed <= fixtures["store"].capabilities:
                test(self, **fixtures)
                return
            with pytest.raises(Unsupported):
                test(self, **fixtures)

        return checked

    return decorate
