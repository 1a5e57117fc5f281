"""The pictures of the training report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from btcfs.training.calendar_axis import calendar_axis
from btcfs.training.evaluation import Evaluation
from btcfs.training.intervals import wilson
from btcfs.training.svg import Scale, bar, bottom_axis, dot, drawing, left_axis, line, path, text

WIDTH = 760
COLOURS = ("c1", "c2", "c3", "c4", "c5")


def splits(split: Mapping[str, Any]) -> str:
    """Each fold's training and test rows along the calendar, and the sealed rows at the end."""
    folds = [*split["folds"], split["holdout"]]
    top, row = 24, 20
    height = top + row * len(folds) + 30
    ends = [_instant(part[end]) for fold in folds for part in (fold["train"], fold["test"]) for end in ("start", "end")]
    x = Scale(min(ends), max(ends), 90, WIDTH - 110)
    marks = [*calendar_axis(x, height - 24, top - 6), text(WIDTH, 12, "purged + embargoed", "tick", "end")]
    for k, fold in enumerate(folds):
        y = top + row * k
        sealed = k == len(folds) - 1
        marks.append(text(82, y + 12, "sealed" if sealed else f"fold {k + 1}", "tick", "end"))
        for name, kind in (("train", "train"), ("test", "sealed" if sealed else "test")):
            part = fold[name]
            start, end = x(_instant(part["start"])), x(_instant(part["end"]))
            tip = f"{name}: {part['rows']:,} rows, {part['start'][:10]} to {part['end'][:10]}"
            marks.append(bar(start, y, end - start, 14, kind, tip))
        marks.append(text(WIDTH - 104, y + 12, f"{fold['purged']} + {fold['embargoed']}", "tick"))
    return drawing(WIDTH, height, marks, "Walk-forward folds and the sealed test over time")


def curves(evaluation: Evaluation) -> str:
    """Cumulated hits above one half: a skilless rule wanders, skill climbs."""
    joined = _alike(evaluation.curves)
    height, bottom = 320, 270
    values = [v for series in joined.values() for v in series]
    # The labels of the lines stand to the right of them.
    times = [time / 1e6 for time in evaluation.curve_times]
    x = Scale(times[0], times[-1], 50, WIDTH - 250)
    y = Scale(min([0, *values]), max([1, *values]), bottom, 30)
    marks = [
        *left_axis(y, 50, x.end, "hits above one half"),
        *calendar_axis(x, bottom, 30),
        line(x.start, y(0), x.end, y(0)),
    ]
    ends = []
    for k, (name, series) in enumerate(joined.items()):
        points = [(x(time), y(v)) for time, v in zip(times, series, strict=True)]
        marks.append(path(points, f"curve {COLOURS[k % len(COLOURS)]}"))
        ends.append((points[-1][1], name, COLOURS[k % len(COLOURS)]))
    place = 0.0
    for end, name, colour in sorted(ends):
        place = max(end + 4, place + 15)
        marks.append(text(x.end + 8, place, name, f"name {colour}"))
    return drawing(WIDTH, height, marks, "Cumulated hits of the model and of each baseline")


def comparison(evaluation: Evaluation) -> str:
    """The model and every baseline with 95 % intervals."""
    name = "accuracy" if evaluation.task == "classification" else "rmse"
    rows = [
        (evaluation.model, evaluation.intervals[name], "c1"),
        *((b.name, b.score, "c2") for b in evaluation.baselines),
    ]
    height = 40 + 26 * len(rows) + 30
    low, high = min(i.low for _, i, _ in rows), max(i.high for _, i, _ in rows)
    x = Scale(low - (high - low) / 20, high + (high - low) / 20, 180, WIDTH - 70)
    marks = bottom_axis(x, height - 44, 14, "accuracy" if name == "accuracy" else "RMSE, percentage points")
    best = x(evaluation.strongest.score.value)
    marks.append(line(best, 14, best, height - 44, "ideal"))
    for k, (title, interval, colour) in enumerate(rows):
        y = 28 + 26 * k
        marks += [
            text(170, y + 4, title, "label", "end"),
            line(x(interval.low), y, x(interval.high), y, f"whisker {colour}"),
            dot(
                x(interval.value),
                y,
                f"dot {colour}",
                f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})",
            ),
            text(WIDTH - 60, y + 4, f"{interval.value:.3f}", "tick"),
        ]
    return drawing(WIDTH, height, marks, f"{name} of the model and of each baseline with 95 % intervals")


def calibration(evaluation: Evaluation) -> str:
    """How often it went up when the model said so with that probability, with Wilson intervals."""
    size, low, high = 360, 50, 310
    shares = [(b, wilson(b["happened"] * b["rows"], b["rows"])) for b in evaluation.calibration]
    ends = [0.4, 0.6, *(b["forecast"] for b, _ in shares), *(v for _, s in shares for v in (s.low, s.high))]
    x, y = Scale(min(ends), max(ends), low, high + 20), Scale(min(ends), max(ends), high, 30)
    marks = [
        *left_axis(y, low, x.end, "share that went up"),
        *bottom_axis(x, high, 30, "probability of up, as forecast"),
    ]
    marks.append(line(x.start, y.start, x.end, y.end, "ideal"))
    for b, share in shares:
        tip = f"forecast {b['forecast']:.3f}, happened {b['happened']:.3f}, {b['rows']} rows"
        marks += [
            line(x(b["forecast"]), y(share.low), x(b["forecast"]), y(share.high), "whisker c1"),
            dot(x(b["forecast"]), y(b["happened"]), "dot c1", tip),
        ]
    return drawing(size + 20, size, marks, "Calibration of the probabilities")


def confusion(counts: Mapping[str, int]) -> str:
    """What was said against what happened; the darker, the more rows."""
    total = sum(counts.values()) or 1
    marks = [text(210, 30, "said up", "label", "middle"), text(330, 30, "said down", "label", "middle")]
    for r, happened in enumerate(("up", "down")):
        marks.append(text(140, 100 + 110 * r, f"went {happened}", "label", "end"))
        for c, said in enumerate(("up", "down")):
            count = counts[f"{happened}_said_{said}"]
            kind = "right" if happened == said else "wrong"
            x, y = 155 + 120 * c, 42 + 110 * r
            marks += [
                f'<g opacity="{0.25 + 0.75 * count / total:.2f}">{bar(x, y, 112, 102, kind)}</g>',
                text(x + 56, y + 50, f"{count:,}", "count", "middle"),
                text(x + 56, y + 70, f"{count / total:.1%}", "tick", "middle"),
            ]
    return drawing(400, 290, marks, "Confusion of directions")


def importance(rows: Sequence[Mapping[str, Any]], task: str, most: int = 15) -> str:
    """How much worse the model does on test rows when a group of like features is shuffled."""
    shown = rows[:most]
    height = 30 + 22 * len(shown) + 44
    ends = [0.0, *(row["rise"] - row["spread"] for row in shown), *(row["rise"] + row["spread"] for row in shown)]
    x = Scale(min(ends), max(ends) or 1e-9, 280, WIDTH - 30)
    unit = "rise of the log-loss, nats" if task == "classification" else "rise of the squared error, squared percent"
    marks = bottom_axis(x, height - 44, 10, unit)
    for k, row in enumerate(shown):
        y = 16 + 22 * k
        names = row["features"]
        more = f" and {len(names) - 2} like them" if len(names) > 2 else ""
        left, right = sorted((x(0.0), x(row["rise"])))
        middle = y + 7
        marks += [
            text(270, y + 11, f"{', '.join(names[:2])}{more}", "label", "end"),
            bar(left, y, right - left, 14, "c1 fill", f"{', '.join(names)}: {row['rise']:+.5f}"),
            line(x(row["rise"] - row["spread"]), middle, x(row["rise"] + row["spread"]), middle, "spread"),
        ]
    return drawing(WIDTH, height, marks, "Permutation importance on test rows")


def _alike(series: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The same curves, those that coincide under one joint name."""
    found: dict[tuple[float, ...], list[str]] = {}
    for name, values in series.items():
        found.setdefault(tuple(values), []).append(name)
    return {" = ".join(names): list(values) for values, names in found.items()}


def _instant(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
