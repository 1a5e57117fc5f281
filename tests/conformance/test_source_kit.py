"""The kit for sources catches the faults that it is there for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta

import attrs
import pandas as pd
import pytest

from btcfs.sources import CandleRequest, Fetched, Source
from btcfs.testing.sources import SourceTests, rows
from btcfs_sources import open_sample

Spoil = Callable[[pd.DataFrame, CandleRequest], pd.DataFrame]


@attrs.define
class Spoiled:
    """The sample market, asked something else or its answer spoiled."""

    ask: Callable[[CandleRequest], CandleRequest] = lambda request: request
    spoil: Spoil = lambda frame, request: frame
    once: bool = False
    name: str = "spoiled"

    def fetch(self, request: CandleRequest) -> Fetched:
        fetched = open_sample().fetch(self.ask(request))
        frame = self.spoil(rows(fetched), request)
        frames = [frame] if len(frame) else []
        return Fetched(iter(frames) if self.once else frames, attrs.evolve(fetched.report, returned=len(frame)))


def later(request: CandleRequest) -> CandleRequest:
    """As if the forming candle were closed, and the end inclusive."""
    assert request.now is not None
    end = None if request.end is None else request.end + request.step
    return attrs.evolve(request, now=request.now + request.step, end=end)


def closed_later(request: CandleRequest) -> CandleRequest:
    assert request.now is not None
    return attrs.evolve(request, now=request.now + request.step)


def shaken(frame: pd.DataFrame, request: CandleRequest) -> pd.DataFrame:
    """Prices that depend on the span asked, as those of a market drawn from its first bar on."""
    start = 0 if request.start is None else int(request.start.timestamp())
    return frame.assign(volume=frame["volume"] + start % 97)


FAULTS: dict[str, Spoiled] = {
    "end inclusive": Spoiled(ask=later),
    "forming candle": Spoiled(ask=closed_later),
    "newest first": Spoiled(spoil=lambda frame, _: frame[::-1]),
    "a candle lost": Spoiled(spoil=lambda frame, _: frame.drop(index=frame.index[3:4])),
    "a candle twice": Spoiled(spoil=lambda frame, _: pd.concat([frame[:1], frame])),
    "naive times": Spoiled(spoil=lambda frame, _: frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None))),
    "nanoseconds": Spoiled(spoil=lambda frame, _: frame.assign(timestamp=frame["timestamp"].dt.as_unit("ns"))),
    "close for open": Spoiled(
        spoil=lambda frame, request: frame.assign(timestamp=frame["timestamp"] + request.step)
    ),
    "integers": Spoiled(spoil=lambda frame, _: frame.assign(volume=frame["volume"].astype("int64"))),
    "another column": Spoiled(spoil=lambda frame, _: frame.assign(trades=1.0)),
    "high below low": Spoiled(spoil=lambda frame, _: frame.rename(columns={"high": "low", "low": "high"})),
    "span dependent": Spoiled(spoil=shaken),
    "walked once": Spoiled(once=True),
    "start ignored": Spoiled(ask=lambda r: r if r.start is None else attrs.evolve(r, start=r.start - timedelta(days=1))),
    "last ignored": Spoiled(ask=lambda r: r if r.last is None else attrs.evolve(r, last=r.last + 1)),
}  # fmt: skip


def failures(source: Source) -> list[str]:
    """The names of the kit's tests that this source fails."""

    class Kit(SourceTests):
        unknown_symbol = "NOSUCH"
        unknown_interval = None

    failed = []
    for name, test in inspect.getmembers(Kit(), callable):
        if name.startswith("test_"):
            try:
                test(source)
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever a test fails with
                failed.append(name)
    return failed


def test_a_good_source_passes() -> None:
    """A source without a fault fails no test."""
    assert failures(Spoiled()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str) -> None:
    """Each of these faults makes at least one test of the kit fail."""
    assert failures(FAULTS[fault])
