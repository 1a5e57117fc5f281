"""Copies of any history, interrupted anywhere, in pieces of any size: both stores have the same past."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs import connect
from btcfs.errors import StoreUnavailable
from btcfs.transfer.copying import copy_store
from btcfs.transfer.diffing import diff_stores
from moving import GROUP, Full, rows, same_past

WRITES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(0, 3), st.sampled_from(["BTC-USD", "ETH-USD"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    writes=WRITES,
    later=WRITES,
    size=st.integers(1, 40),
    stops=st.lists(st.integers(0, 5), max_size=4),
    keep=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_any_history_any_interruption(
    writes: list[tuple[int, int, int, str]],
    later: list[tuple[int, int, int, str]],
    size: int,
    stops: list[int],
    keep: list[bool],
) -> None:
    """Stopped after any number of writes, resumed with its journal or without, continued after more commits, it is a copy."""
    source, target = connect("memory"), Full(0)
    source.apply(GROUP)
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "journal"
        for batch in (writes, later):
            for first, count, seed, symbol in batch:
                source.write(GROUP, rows(count, first, seed, (symbol,)))
            for stop, kept in zip(stops, keep, strict=False):
                target.room = stop
                with suppress(StoreUnavailable):
                    copy_store(source, target, journal=journal, size=size)
                if not kept:
                    journal.unlink(missing_ok=True)
            target.room = 10_000
            copy_store(source, target, journal=journal, size=size)

            assert same_past(source, target, [GROUP])
            assert diff_stores(source, target, size=size).equal
