"""What an ingest shows a person: four steps while it runs, and the totals at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from btcfs.cli import console

if TYPE_CHECKING:
    from btcfs.pipeline.ingest_report import IngestReport, Notice
    from btcfs.pipeline.markets import MarketsReport

RULE = "=" * 68
LINES_OF_BATCHES = 10  # more batches than this are shown as a bar


class Narrator:
    """Prints each notice of an ingest as it comes; many batches become a progress bar on standard error."""

    def __init__(self, mode: str, silent: bool = False) -> None:
        self.mode = mode
        self.silent = silent
        self._bar: Any = None

    def __enter__(self) -> Narrator:
        if not self.silent:
            console.line(f"{self.mode.upper()} FEATURE INGESTION")
            console.line(RULE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close_bar()

    def __call__(self, notice: Notice) -> None:
        if self.silent:
            return
        if notice.kind == "progress":
            self._progress(notice)
            return
        self._close_bar()
        if notice.kind == "start":
            console.line(f"\n{notice.step}. {notice.text}...")
            if notice.total is not None and notice.total > LINES_OF_BATCHES:
                self._bar = console.progress("batches", notice.total)
                self._advance = self._bar.__enter__()
        else:
            console.line(f"   ✓ {notice.text}")
            if notice.detail:
                console.line(f"   Features: {', '.join(notice.detail[:8])}, …")

    def _progress(self, notice: Notice) -> None:
        if self._bar is not None:
            self._advance(1)
        if self._bar is None or notice.done == notice.total:
            self._close_bar()
            console.line(f"   ✓ {notice.text}")

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


class MarketsNarrator:
    """A line for each market that is committed, beside a bar on standard error; after an error, how many there were."""

    def __init__(self, markets: int, silent: bool = False) -> None:
        self.markets = markets
        self.silent = silent
        self._done: list[str] = []
        self._bar = console.progress("markets", markets, hidden=silent)

    def __enter__(self) -> MarketsNarrator:
        if not self.silent:
            console.line(f"BACKFILL FEATURE INGESTION OF {self.markets:,} MARKETS")
            console.line(RULE)
        self._advance = self._bar.__enter__()
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self._bar.__exit__(kind, *rest)
        if kind is not None and self._done:
            console.warning(
                f"{len(self._done):,} of {self.markets:,} markets are done, the last {self._done[-1]}; the others are as "
                f"they were. The same command again goes on: what is done is left alone"
            )

    def __call__(self, report: IngestReport) -> None:
        self._done.append(report.symbol)
        self._advance(1)
        if self.silent:
            return
        console.line(
            f"   ✓ {report.symbol}: {report.inserted:,} inserted, {report.updated:,} updated, {report.unchanged:,} "
            f"unchanged, of {report.partitions:,} partitions"
        )
        for text in report.warnings:
            console.warning(f"{report.symbol}: {text}")


def show_markets(report: MarketsReport) -> None:
    """The totals of a backfill of many markets."""
    dry = report.reports[0].dry_run
    verb = "would be " if dry else ""
    total = report.total
    console.line()
    console.done(f"{'DRY RUN' if dry else 'BACKFILL FEATURE INGESTION'} COMPLETE")
    console.line(
        f"Rows: {total('inserted'):,} {verb}inserted, {total('updated'):,} {verb}updated, {total('unchanged'):,} "
        f"unchanged, {total('rejected'):,} candles rejected"
    )
    console.line(
        f"Engine {report.reports[0].engine}: {total('partitions'):,} partitions of {len(report.reports):,} markets, with "
        f"{total('overlap'):,} candles of overlap"
    )


def show_report(report: IngestReport) -> None:
    """The totals of an ingest."""
    what = "DRY RUN" if report.dry_run else f"{report.mode.upper()} FEATURE INGESTION"
    console.line()
    console.done(f"{what} COMPLETE")
    verb = "would be " if report.dry_run else ""
    console.line(
        f"Rows: {report.inserted:,} {verb}inserted, {report.updated:,} {verb}updated, {report.unchanged:,} unchanged, "
        f"{report.rejected:,} candles rejected"
    )
    console.line(
        f"Candles: {report.fetched:,} fetched, {report.new_candles:,} new, {report.restated_candles:,} restated"
    )
    if report.repaired:
        console.line(f"Volumes put right: {report.repaired:,}")
    elif any("swapped_volume" in warning for warning in report.warnings):
        console.line("Volumes swapped in the source: add --repair-volume to put them right")
    console.line(f"Total records: {report.inserted + report.updated + report.unchanged:,}")
    if report.start is not None and report.end is not None:
        console.line(f"Date range: {_instant(report.start)} to {_instant(report.end)}")
    if report.dry_run or report.engine != "local":
        console.line(
            f"Engine {report.engine}: {report.partitions:,} partitions, with {report.overlap:,} candles of overlap"
        )
    if report.commit_id is not None:
        console.line(f"Commit: {report.commit_id} of {report.group} v{report.version}")
    if report.quarantine and report.rejected:
        console.line(f"Rejected candles, each with its reason: {report.quarantine}")


def _instant(time: Any) -> str:
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute) == (0, 0) else f"{time:%Y-%m-%d %H:%M}"
