"""The predictor under 64 clients while another process commits each second: failures, mixed vectors, time until seen."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np

from btcfs.connection import connect
from conftest import FrameSource
from served import filled, inference_view, market
from under_ingest import asked_while_committing, outputs, resting, saved, serving, until_seen, untimely

CLIENTS = 64


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    commits = max(2, round(60 * scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with connect("duckdb", path=folder / "store", defaults={"symbol": "BTC-USD"}) as store:
            filled(store, FrameSource(market(2_000)), days=500)
            bundle = saved(store, folder / "models")
            expected = outputs(bundle, store, commits)
            [before] = store.get_online_features(inference_view(store), [{"symbol": "BTC-USD"}])
            features = dict(zip(bundle.features, before.values.tolist(), strict=True))
        with serving(folder / "store", folder / "models") as (port, _):
            requests = {"/predict": {}, "/v1/features": None}
            answers, made = asked_while_committing(
                folder / "store", port, requests, clients=CLIENTS, commits=commits, every=1.0
            )
    failed = sum(answer.status != 200 for answer in answers)
    numbers, mixed = [], 0
    for answer in answers:
        try:
            numbers.append((resting(answer, expected, features), answer))
        except AssertionError:
            mixed += 1
    early_or_late = sum(untimely(number, answer, made) is not None for number, answer in numbers)
    seconds = answers[-1].came - answers[0].asked
    low, high = np.percentile([(answer.came - answer.asked) * 1000 for answer in answers], [50, 99])
    print(
        f"{len(answers):,} answers to {CLIENTS} clients in {seconds:.1f} s, p50 {low:.1f} ms, p99 {high:.1f} ms;",
        end=" ",
    )
    print(f"{len(made)} commits, each {np.median([c.done - c.begun for c in made]) * 1000:.0f} ms")
    seen = until_seen(numbers, made)
    longest = max(answer.came - answer.asked for answer in answers)
    print(f"seen after {np.median(seen) * 1000:.0f} ms (median); the slowest answer took {longest * 1000:.0f} ms")
    return [
        ("failed requests", failed, "0"),
        ("vectors that mix two commits, or of none", mixed, "0"),
        ("answers from a commit not begun, or older than one returned", early_or_late, "0"),
        ("seconds until a commit is seen, the longest", max(seen), "<= 1"),
    ]


if __name__ == "__main__":
    for name, value, bar in main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print(f"{name:60} {value:8.3f}   {bar}")
