"""The training report as one page of HTML that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import attrs

from btcfs.training import plots
from btcfs.training import report_words as words
from btcfs.training.evaluation import Comparison, Evaluation
from btcfs.training.intervals import Interval
from btcfs.training.page_style import STYLE
from btcfs.training.report import TaskReport, TrainingReport

_NAMES = {"classification": "Direction", "regression": "Change"}
_MARKS = {"ok": "✓", "warning": "!", "alarm": "✗"}


def page(report: TrainingReport) -> str:
    """The whole page; pictures are inline, nothing is fetched or run."""
    parts = [_head(report), _verdicts(report), _tripwires(report), _data(report), _features(report), _split(report)]
    parts += [_task(task, part) for task, part in report.tasks.items()]
    parts += [_ledger(report), _gate(report), _origin(report)]
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
        (_mark(f.level, f"{_MARKS[f.level]} {f.level}"), escape(f.name), escape(f.reason))
        for f in sorted(report.findings, key=lambda f: ("alarm", "warning", "ok").index(f.level))
    ]
    return _section("Tripwires", _table(("", "tripwire", "what it says"), rows))


def _data(report: TrainingReport) -> str:
    known = report.provenance
    facts = {
        "Market": f"{escape(report.market)}, closed candles known from {known['first_event_time'][:16]} to {known['last_event_time'][:16]} UTC",
        "Read from": f"{escape(words.source(report))}, groups {escape(', '.join(known['groups']))}",
        "As of": escape(words.snapshot(report)),
        "Left out": escape(words.left_out(report)),
        "Restated": escape(words.restated(report)),
        "Label": escape(words.label(report.label)),
        "Training set": f"<code>{report.training_set}</code>",
    }
    years = _numbers_table(
        ("year", *map(escape, report.base_rates)), [("share of ups", *(f"{r:.3f}" for r in report.base_rates.values()))]
    )
    return _section("Data and label", _facts(facts) + years)


def _features(report: TrainingReport) -> str:
    dropped = report.provenance["dropped"]
    facts = {
        "View": escape(words.features(report)),
        "Fingerprint": f"<code>{escape(report.provenance['view_fingerprint'])}</code>",
        "Warm-up": f"{dropped['warm-up']:,} first rows, in which a feature has too little history",
        "Missing": f"{dropped['missing feature']:,} rows after the warm-up, in which a feature has no value",
        "Columns": f'<span class="small">{escape(", ".join(report.features))}</span>',
    }
    return _section("Features", _facts(facts))


def _split(report: TrainingReport) -> str:
    said = (
        f"Each fold learns from what was known before its test (blue) and predicts it (orange). Between the two, labels "
        f"not yet known are purged and an embargo of {words.duration(report.split['embargo_seconds'])} is kept. "
        f"The sealed rows at the end (grey) are {words.opened(report)}."
    )
    return _section("Split", f"<p>{said}</p>{_wide(plots.splits(report.split))}")


def _task(task: str, part: TaskReport) -> str:
    e = part.evaluation
    fitted = "accuracy" if task == "classification" else "R²"
    blocks = [
        f"<p>{escape(part.model)}, walked forward over {e.rows:,} rows; {fitted} {e.train_score:.3f} on its own "
        f"training rows.</p>",
        _wide(plots.comparison(e)),
        "<h3>Scores</h3>" + _scores(e),
        "<h3>Against what needs no model</h3>" + _against(e),
        "<h3>Hits against baselines</h3>" + _wide(plots.curves(e)),
        "<h3>By year</h3>" + _groups(e, e.by_year, "year"),
        "<h3>By fold</h3>" + _groups(e, e.by_fold, "fold"),
    ]
    if task == "classification":
        blocks.append(_probabilities(e))
    blocks.append("<h3>Permutation importance, on test rows</h3>" + _wide(plots.importance(part.importance, task)))
    if part.holdout is not None:
        blocks.append(f"<h3>Sealed rows, opened: {part.holdout.rows:,}</h3>" + _scores(part.holdout))
    return _section(_NAMES[task], "".join(blocks))


def _scores(e: Evaluation) -> str:
    rows = []
    for name, value in e.metrics.items():
        title, unit = words.SCORES[name]
        rows.append((escape(title), _number(value), _between(e.intervals.get(name)), unit))
    return _numbers_table(("score", "value", "95 % interval", "unit"), rows)


def _against(e: Evaluation) -> str:
    title, unit = words.SCORES[words.SCORE[e.task]]
    said = (
        f"{f'{title} is in {unit}. ' if unit else ''}Hits and loss ({words.LOSS[e.task]}) are the model's minus the "
        f"baseline's. p is the chance, one-sided, of so favourable a difference in "
        f"{'hits' if e.task == 'classification' else 'loss'} if there were none."
    )
    columns = ("baseline", title, "hits", "95 %", "loss", "95 %", "p")
    return f'<p class="small">{said}</p>' + _numbers_table(columns, [_compared(e, b) for b in e.baselines])


def _compared(e: Evaluation, b: Comparison) -> tuple[str, ...]:
    chance = b.hit_chance if e.task == "classification" else b.loss_chance
    return (
        escape(b.name),
        _number(b.score.value),
        *_signed(b.hit_difference),
        *_signed(b.loss_difference),
        f"{chance:.3f}" if chance >= 0.001 else "&lt; 0.001",
    )


def _signed(difference: Interval) -> tuple[str, str]:
    value, low, high = (f"{v:+.4f}" if abs(v) < 10 else f"{v:+.2f}" for v in attrs.astuple(difference))
    return value, f"{low} to {high}"


def _probabilities(e: Evaluation) -> str:
    certain = [(f"{r['certainty']:g}", f"{r['rows']:,}", _number(r["accuracy"])) for r in e.thresholds]
    return (
        f'<div class="pair"><div><h3>Calibration</h3>{plots.calibration(e)}</div>'
        f"<div><h3>Confusion</h3>{plots.confusion(e.confusion)}</div></div>"
        f"<h3>If it speaks only when certain</h3>"
        f"{_numbers_table(('probability of what it says, at least', 'rows', 'accuracy'), certain)}"
    )


def _ledger(report: TrainingReport) -> str:
    items = "".join(f"<li>{_NAMES[task]}: {escape(part.deflated.text)}</li>" for task, part in report.tasks.items())
    return _section("Trials on these test periods", f"<ul>{items}</ul>")


def _gate(report: TrainingReport) -> str:
    kinds = {True: _mark("ok", "✓ passed"), False: _mark("alarm", "✗ in the way")}
    rows = [(kinds[c["passed"]], escape(c["name"].replace("_", " ")), escape(c["detail"])) for c in report.checks]
    said = "Something stands in the way." if report.obstacles else "Nothing stands in the way."
    return _section("Activation", f"<p>{said}</p>" + _table(("", "check", "what was found"), rows))


def _origin(report: TrainingReport) -> str:
    facts = {name: escape(value) for name, value in report.versions.items()}
    facts |= {"seed": str(report.seed), "run time": f"{report.seconds:.1f} s"}
    facts |= {f"{task} pipeline": escape(steps) for task, steps in report.pipelines.items()}
    return _section("Origin", _facts(facts))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>"


def _wide(content: str) -> str:
    """What scrolls sideways where the page is too narrow for it."""
    return f'<div class="wide">{content}</div>'


def _mark(kind: str, words: str) -> str:
    return f'<span class="{kind}">{words}</span>'


def _numbers_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names what the others count."""
    return _table(columns, rows, ' class="numbers"')


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return _wide(f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _groups(e: Evaluation, rows: Sequence[Mapping[str, Any]], name: str) -> str:
    cells = [
        (
            escape(str(int(row[name]) + 1 if name == "fold" else row[name])),
            f"{row['rows']:,}",
            f"{row['hit_rate']['value']:.3f}",
            f"{row['hit_rate']['low']:.3f} to {row['hit_rate']['high']:.3f}",
            _number(row["loss"]),
            *([f"{row['base_rate']:.3f}"] if "base_rate" in row else []),
        )
        for row in rows
    ]
    columns = (name, "rows", "hit rate", "95 % (Wilson)", words.LOSS[e.task], "share of ups")
    return _numbers_table(columns[: len(cells[0])], cells)


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _number(value: float | None) -> str:
    return "n/a" if value is None or value != value else f"{value:.4f}"
