"""Seven million one-minute bars through the stream of features: peak memory, and whether time is linear in rows."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from btcfs.pipeline.compute import compute_stream
from btcfs.pipeline.plan import plan
from btcfs_ta.standard import standard_indicators

CHUNK = 100_000
MINUTE = pd.Timedelta(minutes=1)


def frames(rows: int) -> Iterator[pd.DataFrame]:
    """A market in frames of 100,000 candles, made when they are asked for."""
    rng = np.random.default_rng(7)
    start, price = pd.Timestamp("2012-01-01", tz="UTC"), 20_000.0
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        close = price * np.exp(rng.normal(0.0, 6e-4, count).cumsum())
        opened = np.concatenate(([price], close[:-1]))
        wick = rng.random(count) * 6e-4
        yield pd.DataFrame(
            {
                "timestamp": pd.date_range(start + first * MINUTE, periods=count, freq="min", unit="us"),
                "open": opened,
                "high": np.maximum(opened, close) * (1 + wick),
                "low": np.minimum(opened, close) * (1 - wick),
                "close": close,
                "volume": rng.lognormal(1.0, 1.0, count),
            }
        )
        price = close[-1]


def stream(rows: int) -> dict[str, float]:
    """Run the stream in this process: seconds without making candles, and peak resident bytes."""
    features = plan(standard_indicators(), "1m")
    counted, making = 0, 0.0

    def timed() -> Iterator[pd.DataFrame]:
        nonlocal making
        source = frames(rows)
        while True:
            start = time.perf_counter()
            frame = next(source, None)
            making += time.perf_counter() - start
            if frame is None:
                return
            yield frame

    start = time.perf_counter()
    for block in compute_stream(features, timed()):
        counted += len(block)
    seconds = time.perf_counter() - start - making
    assert counted == rows
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


def fresh(rows: int) -> dict[str, float]:
    """The same in a process of its own, so that the peak is the stream's."""
    done = subprocess.run([sys.executable, __file__, str(rows)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    many = int(7_000_000 * scale)
    few = many // 7
    small, large = fresh(few), fresh(many)
    return [
        (f"peak memory of {many:,} bars, GB", large["peak"] / 1e9, "<= 1.5"),
        (f"peak memory of {many:,} bars / of {few:,}", large["peak"] / small["peak"], "<= 1.1"),
        (
            f"time per bar, {many:,} ({large['seconds']:.1f} s) / {few:,}",
            large["seconds"] / many / (small["seconds"] / few),
            "<= 1.2",
        ),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(stream(int(sys.argv[1]))))
    else:
        for name, ratio, bar in main():
            print(f"{name:75s} {ratio:8.2f}   {bar}")
