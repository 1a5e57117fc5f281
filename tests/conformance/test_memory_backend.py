"""The memory backend against every law of the kit."""

from __future__ import annotations

import pytest

from btcfs import memory
from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore


class TestMemoryBackend(BackendTests):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        contents = memory.Contents()
        return lambda **options: memory.connect(contents=contents, **options)
