"""The training report as one page of HTML that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from btcfs.training import plots
from btcfs.training.page_style import STYLE
from btcfs.training.report import TaskReport, TrainingReport
from btcfs.training.report_text import restated

_NAMES = {"classification": "Direction", "regression": "Change"}
_MARKS = {"ok": "✓", "warning": "!", "alarm": "✗"}


def page(report: TrainingReport) -> str:
    """The whole page; pictures are inline, nothing is fetched or run."""
    parts = [_head(report), _verdicts(report), _tripwires(report), _data(report), _split(report)]
    parts += [_task(task, part) for task, part in report.tasks.items()]
    parts += [_ledger(report), _origin(report)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Training report {escape(report.version)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(report: TrainingReport) -> str:
    span = f"{report.provenance['first_event_time'][:10]} to {report.provenance['last_event_time'][:10]}"
    return (
        f"<header><h1>Training report</h1><p>{escape(report.version)} · {escape(report.market)} · {span} · "
        f"{report.rows:,} rows · {len(report.features)} features · {escape(report.status)}</p></header>"
    )


def _verdicts(report: TrainingReport) -> str:
    cards = []
    for task, part in report.tasks.items():
        kind = {"no evidence of skill": "none", "weak evidence": "weak"}.get(part.verdict.words, "some")
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in part.verdict.reasons)
        cards.append(
            f'<section class="card {kind}"><p class="small">{_NAMES[task]} · {escape(part.model)}</p>'
            f'<p class="words">{escape(part.verdict.words)}</p><ul>{reasons}</ul>'
            f"<p>Can this test set tell? {escape(part.evaluation.power['text'])}.</p></section>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _tripwires(report: TrainingReport) -> str:
    rows = [
        (f'<span class="{f.level}">{_MARKS[f.level]} {f.level}</span>', escape(f.name), escape(f.reason))
        for f in sorted(report.findings, key=lambda f: ("alarm", "warning", "ok").index(f.level))
    ]
    return _section("Tripwires", _table(("", "tripwire", "what it says"), rows))


def _data(report: TrainingReport) -> str:
    dropped = ", ".join(
        f"{count:,} {escape(reason)}" for reason, count in report.provenance["dropped"].items() if count
    )
    label = report.label
    facts = {
        "Read": f"{report.provenance['rows_read']:,} rows from {escape(report.backend)}, left out {dropped or 'nothing'}",
        "Restated": escape(restated(report)),
        "As of": escape(
            str(report.provenance["query"]["as_of"] or "the time of reading; this backend keeps no history")
        ),
        "Label": escape(
            f"{label['kind']} of {label['column']} over {label['horizon']} candle(s), up above {label['threshold']:g} %"
        ),
        "Training set": f"<code>{report.training_set}</code>",
    }
    years = _table(("year", "share of ups"), [(escape(y), f"{r:.3f}") for y, r in report.base_rates.items()])
    return _section("Data and label", _facts(facts) + years)


def _split(report: TrainingReport) -> str:
    opened = "not opened" if report.openings is None else f"opened for the {report.openings + 1}. time"
    words = (
        f"Each fold learns from what was known before its test (blue) and predicts it (orange). Between the two, labels "
        f"not yet known are purged and an embargo of {report.split['embargo_seconds'] / 86_400:g} day(s) is kept. "
        f"The sealed rows at the end are {opened}."
    )
    return _section("Split", f"<p>{words}</p>{plots.splits(report.split)}")


def _task(task: str, part: TaskReport) -> str:
    e = part.evaluation
    scores = [(escape(n), _number(v), _between(e.intervals.get(n))) for n, v in e.metrics.items()]
    against = [
        (
            escape(b.name),
            _number(b.score.value),
            f"{b.hit_difference.value:+.4f}",
            _between(b.hit_difference),
            f"{b.loss_difference.value:+.4f}",
            f"{(b.hit_chance if task == 'classification' else b.loss_chance):.3g}",
        )
        for b in e.baselines
    ]
    blocks = [
        f"<p>{escape(part.model)}, walked forward over {e.rows:,} rows; {e.train_score:.3f} on its own training rows.</p>",
        plots.comparison(e),
        "<h3>Scores</h3>" + _table(("score", "value", "95 % interval"), scores),
        "<h3>Against what needs no model</h3>"
        + _table(("baseline", "score", "hits, difference", "95 % interval", "loss, difference", "by chance"), against),
        "<h3>Hits against baselines</h3>" + plots.curves(e),
        "<h3>By year</h3>" + _groups(e.by_year, "year"),
        "<h3>By fold</h3>" + _groups(e.by_fold, "fold"),
    ]
    if task == "classification":
        pictures = f'<div class="pair"><div><h3>Calibration</h3>{plots.calibration(e)}</div><div><h3>Confusion</h3>{plots.confusion(e.confusion)}</div></div>'
        certain = [(f"{r['certainty']:g}", f"{r['rows']:,}", _number(r["accuracy"])) for r in e.thresholds]
        blocks += [
            pictures,
            "<h3>If it speaks only when certain</h3>",
            _table(("certainty from", "rows", "accuracy"), certain),
        ]
    blocks.append("<h3>Permutation importance, on test rows</h3>" + plots.importance(part.importance, task))
    if part.holdout is not None:
        opened = [
            (escape(n), _number(v), _between(part.holdout.intervals.get(n))) for n, v in part.holdout.metrics.items()
        ]
        blocks.append(
            f"<h3>Sealed rows, opened: {part.holdout.rows:,}</h3>" + _table(("score", "value", "95 % interval"), opened)
        )
    return _section(_NAMES[task], "".join(blocks))


def _ledger(report: TrainingReport) -> str:
    items = "".join(f"<li>{_NAMES[task]}: {escape(part.deflated.text)}</li>" for task, part in report.tasks.items())
    return _section("Trials on these test periods", f"<ul>{items}</ul>") + _gate(report)


def _gate(report: TrainingReport) -> str:
    if not report.obstacles:
        return _section("Activation", "<p>Nothing stands in the way.</p>")
    items = "".join(f"<li>{escape(obstacle)}</li>" for obstacle in report.obstacles)
    return _section("Activation", f"<p>In the way:</p><ul>{items}</ul>")


def _origin(report: TrainingReport) -> str:
    facts = {name: escape(value) for name, value in report.versions.items()}
    facts |= {"seed": str(report.seed), "seconds": f"{report.seconds:.1f}"}
    facts |= {f"{task} pipeline": escape(steps) for task, steps in report.pipelines.items()}
    return _section("Origin", _facts(facts))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _groups(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    cells = [
        (
            escape(str(int(row[name]) + 1 if name == "fold" else row[name])),
            f"{row['rows']:,}",
            f"{row['hit_rate']['value']:.3f}",
            f"{row['hit_rate']['low']:.3f} to {row['hit_rate']['high']:.3f}",
            _number(row["loss"]),
            *([_number(row["base_rate"])] if "base_rate" in row else []),
        )
        for row in rows
    ]
    columns = (name, "rows", "hit rate", "95 % (Wilson)", "loss", "share of ups")
    return _table(columns[: len(cells[0])], cells)


def _between(interval: Any) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _number(value: float | None) -> str:
    return "n/a" if value is None or value != value else f"{value:.4f}"
