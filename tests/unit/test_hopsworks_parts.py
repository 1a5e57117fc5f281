"""The parts of the Hopsworks backend that need neither a client nor a server."""

from __future__ import annotations

import sys
import threading
import time
from datetime import datetime

import numpy as np
import pytest

from btcfs.definitions import Feature
from btcfs.errors import DefinitionError, StoreUnavailable
from btcfs.instants import UTC
from btcfs.testing.backends.examples import START, candle_group, candles, event_group, rows

pytest.importorskip("requests", reason="the extra hopsworks is not installed")

from btcfs_hopsworks import columns, staging
from btcfs_hopsworks.deadline import Workers
from btcfs_hopsworks.gateway.quiet import Silence
from btcfs_hopsworks.ledger import Head


def test_a_call_ends_by_its_deadline() -> None:
    """What hangs is given up on time, results and errors pass, and the next call is not held up."""
    workers, release = Workers(), threading.Event()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"within 0\.05 s: looking"):
        workers.call("looking", 0.05, release.wait)

    assert time.monotonic() - begun < 5.0
    assert workers.call("adding", 5.0, lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        workers.call("dividing", 5.0, lambda: 1 // 0)
    release.set()
    workers.close()


def test_only_the_gateways_threads_are_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    """While a call is silent its prints are dropped, those of other threads are not, and the streams come back."""
    silence = Silence()
    workers = Workers(silence.add)
    out = sys.stdout
    with silence.entered():
        workers.call("printing", 5.0, lambda: print("dropped"))
        print("kept")

    assert capsys.readouterr().out == "kept\n"
    assert sys.stdout is out
    workers.close()


def test_names_that_hopsworks_or_its_client_would_change() -> None:
    """Python's keywords get another name, and a name that the backend needs itself is refused."""
    group = candle_group("from", "close")
    assert [c.name for c in columns.columns(group)][-2:] == ["from_", "close"]
    with pytest.raises(DefinitionError, match="from_"):
        columns.columns(candle_group("from", "from_"))
    with pytest.raises(DefinitionError, match="btcfs_write"):
        columns.columns(candle_group("btcfs_write"))


def test_entities_have_digests_of_their_own() -> None:
    """However the texts are put together, two entities have two digests, which no collation confuses."""
    pairs = [("a", "b"), ("ab", ""), ("", "ab"), ("A", "b"), ("a,b",), ("a", "b", ""), ('a","b',)]
    digests = [columns.entity_digest(pair) for pair in pairs]

    assert len({d.casefold() for d in digests}) == len(pairs)
    assert all(d.isascii() and d == d.lower() for d in digests)


def test_online_rows_hold_what_an_online_table_can() -> None:
    """Texts and timestamps stay offline, and an event time beyond MySQL's range is left out; the integers are exact."""
    group = event_group("a", Feature("note", "string"), Feature("seen", "timestamp"))
    far = datetime(1960, 1, 1, microsecond=7, tzinfo=UTC)
    frame = rows(group, ("X", START, far, 1.0, "long", START), ("X", far, START, 2.0, None, None))
    digests = [columns.entity_digest(("X",))] * 2
    online = columns.online(group, columns.stamped(group, frame, digests, 3, 4, "five"), ["k", "l"])

    assert online[["symbol", "note", "seen", "timestamp"]].isna().all(axis=None)
    assert online["event_time"].isna().tolist() == [True, False]
    assert online[columns.EVENT].tolist() == [-315619199999993, 1704067200000000]
    assert online[columns.ROW].tolist() == ["k", "l"]


def test_heads_come_back_whole() -> None:
    """A head is the same after it was text, and counts the writes it should."""
    head = Head(5, 9, 8, "x", 3, (7,), {"d": (3, -1, 2**60)})

    assert Head.from_text(head.to_text()) == head
    assert [head.counts(n) for n in range(4, 11)] == [False, False, True, False, True, True, False]
    assert Head.from_text(Head(1, 1).to_text()).spans is None


def test_rows_are_compared_bit_for_bit() -> None:
    """Equal rows are neither new nor other; one bit more is other; another key is new."""
    group = candle_group("a")
    stored = staging.staged_of(group, candles(group, 3))
    frame = candles(group, 4)
    frame.loc[1, "a"] = np.nextafter(frame.loc[1, "a"], np.inf)
    new, other = staging.compared(group, staging.staged_of(group, frame), stored)

    assert new.tolist() == [False, False, False, True]
    assert other.tolist() == [False, True, False, False]
