"""The rules of declaring capabilities: by the class, by a mapping where it depends, or only when opened."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from btcfs.capabilities import cell, declared, markdown
from btcfs.memory import MemoryStore, connect
from btcfs.store import Capability

ALL = dict.fromkeys((capability.value for capability in Capability), True)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a module with a connect function that returns what its annotation says."""

    def make(returned: object, **content: object) -> Any:
        module = types.ModuleType("strange_backend")

        def opened() -> Any:
            return None

        opened.__module__ = module.__name__
        opened.__annotations__ = {} if returned is None else {"return": returned}
        vars(module).update(content, connect=opened)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return opened

    return make


def test_by_the_class(backend: Callable[..., Any]) -> None:
    """The class that connect returns, named or given, declares for its stores."""
    assert declared(connect) == ALL
    assert declared(backend(MemoryStore)) == ALL
    assert declared(backend("Store", Store=MemoryStore)) == ALL


def test_by_a_mapping(backend: Callable[..., Any]) -> None:
    """A mapping goes before the class; what it leaves out is not there, and a text says when something is."""
    found = declared(backend(MemoryStore, CAPABILITIES={"write": True, "scan": "with scan=True"}))

    assert found == {"write": True, "scan": "with scan=True", "online": False, "time_travel": False, "delete": False}
    table = markdown([("strange", found), ("other", None)])
    assert "| `scan` | `read` | with scan=True | when opened |" in table
    assert [cell(value) for value in (True, False, None)] == ["yes", "no", "when opened"]


@pytest.mark.parametrize("returned", [None, "Absent", "list[int]", int])
def test_not_before_it_is_opened(backend: Callable[..., Any], returned: object) -> None:
    """A backend that says nothing of itself is told as such, whatever its annotation."""
    assert declared(backend(returned)) is None
