"""The kit over each planted bug, to be run by the test that expects each to be caught; not collected by itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from btcfs import memory
from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore
from conformance import planted_definitions, planted_online, planted_reading, planted_values, planted_writing

CAUGHT_BY: Mapping[type[memory.MemoryStore], str] = {
    **planted_values.CAUGHT_BY,
    **planted_writing.CAUGHT_BY,
    **planted_definitions.CAUGHT_BY,
    **planted_reading.CAUGHT_BY,
    **planted_online.CAUGHT_BY,
}


def kit_over(store_type: type[memory.MemoryStore]) -> type[BackendTests]:
    @pytest.fixture
    def open_store(self: BackendTests) -> OpenStore:
        contents = memory.Contents()
        return lambda defaults=None: store_type(contents, defaults or {})

    return type(f"Test{store_type.__name__}", (BackendTests,), {"open_store": open_store})


globals().update({kit.__name__: kit for kit in map(kit_over, CAUGHT_BY)})
