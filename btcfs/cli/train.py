"""The command that trains models on stored features and judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import StoreUnavailable

if TYPE_CHECKING:
    from btcfs.config import Config
    from btcfs.store import FeatureStore

LOCAL = "duckdb"


@click.command(name="train")
@click.option("--use-feature-store", is_flag=True, help="Train from the feature store; it always does.")
@click.option(
    "--test-size", type=float, default=0.1, show_default=True, help="Share of the newest rows that is sealed."
)
@click.option("--model", multiple=True, metavar="NAME", help="Model; twice for one of each task.  [default: logistic]")
@click.option("--view", metavar="NAME", help="Training view; by default the standard one of the interval.")
@click.option(
    "--horizon", type=click.IntRange(min=1), help="Candles that the label looks ahead, instead of the view's."
)
@click.option("--folds", type=click.IntRange(min=1), default=10, show_default=True, help="Walk-forward folds.")
@click.option("--start", metavar="TIME", help="First event time to train on.")
@click.option("--end", metavar="TIME", help="Event time to stop before.")
@click.option("--as-of", metavar="TIME", help="Train on what was known then.")
@click.option(
    "--models",
    "models_dir",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    metavar="DIR",
    help="Folder of versions, training sets and the ledger of trials.",
)
@click.option("--model-version", metavar="NAME", help="Such as v20251206T120000Z; by default the present second's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn by lot.")
@click.option("--open-holdout", is_flag=True, help="Score the sealed rows too; the ledger keeps that they were seen.")
@click.option(
    "--allow-fallback",
    is_flag=True,
    help="If the backend does not answer, train on its mirror's rows, or the local store's; the version says so.",
)
@click.option("--symbol", metavar="NAME", help="Market, such as BTC-USD.")
@click.option("--interval", metavar="1d|1h|1m", help="Length of one candle.")
@console.json_option
@pass_session
def command(session: Session, models_dir: Path, as_json: bool, **options: Any) -> None:
    """Train a classifier of direction and a regressor of change; save them as a candidate version."""
    from btcfs.certified import train
    from btcfs.pipeline.standard import named

    config = session.configure(symbol=options["symbol"], interval=options["interval"])
    with _opened(session, config, options["allow_fallback"]) as store, _Narrator(silent=as_json) as narrator:
        report = train(
            store,
            view=options["view"] or named("bitcoin_training_view", config.interval),
            horizon=options["horizon"],
            entity={"symbol": config.symbol},
            start=_instant(options["start"]),
            end=_instant(options["end"]),
            as_of=_instant(options["as_of"]),
            model=options["model"] or ("logistic",),
            models_dir=models_dir,
            model_version=options["model_version"],
            test_size=options["test_size"],
            folds=options["folds"],
            seed=options["seed"],
            open_holdout=options["open_holdout"],
            allow_fallback=options["allow_fallback"],
            plugins=session.plugins,
            notify=narrator.show,
            progress=narrator.fitting,
        )
    if as_json:
        console.show_json(report)
    else:
        console.line(f"Report: {report.bundle}/reports/report.html")


@contextmanager
def _opened(session: Session, config: Config, allow_fallback: bool) -> Iterator[FeatureStore]:
    """The configured store; with ``allow_fallback`` beside its mirror, or the local store where it has none."""
    if not allow_fallback or config.backend == LOCAL:
        with _alone(session, config) as store:
            yield store
        return
    import attrs

    origins = {name: origin for name, origin in config.origins.items() if name != "backend"}  # a chosen one comes alone
    paired = attrs.evolve(config, origins=origins)
    with TemporaryDirectory(prefix="btcfs-") as journal:
        if config.fallback is None:  # nothing is written through this pair, so nothing stays in its journal
            paired = attrs.evolve(paired, fallback=LOCAL, fallback_options={"journal": journal})
        with session.open(paired) as store:
            yield store


def _alone(session: Session, config: Config) -> FeatureStore:
    try:
        return session.open(config)
    except StoreUnavailable as exc:
        if config.backend == LOCAL:
            raise
        raise StoreUnavailable(
            f"{exc}. Try again later, or train on the local store instead: btcfs train --allow-fallback"
        ) from exc


class _Narrator:
    """Prints the report's lines as they come, and in between counts the models that are fitted on standard error."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._bar = ExitStack()
        self._advance: Callable[[int], None] | None = None

    def __enter__(self) -> _Narrator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()

    def show(self, lines: Sequence[str]) -> None:
        self._bar.close()
        self._advance = None
        if not self._silent:
            for line in lines:
                console.line(line)

    def fitting(self, count: int) -> None:
        if self._advance is None:
            self._advance = self._bar.enter_context(console.progress("fitting models", hidden=self._silent))
        self._advance(count)


def _instant(text: str | None) -> Any:
    from btcfs.instants import parse_instant

    return None if text is None else parse_instant(text)
