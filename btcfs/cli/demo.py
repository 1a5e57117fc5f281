"""The command that runs the whole job on the sample market, with no network and no file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    import pandas as pd

    from btcfs.pipeline.ingest import Ingest

SHOWN = ("close", "return_1", "rsi_14", "macd_12_26_9", "atr_14", "volume_ratio_20")


@click.command(name="demo")
@click.option("--days", type=int, default=365, show_default=True, help="Days to ingest.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the sample market.")
@click.option("--path", type=click.Path(path_type=Path), default=Path(".btcfs-demo"), show_default=True)
@click.option("--no-model", is_flag=True, help="Stop after the online vector: neither train nor serve.")
@console.json_option
@pass_session
def command(session: Session, days: int, seed: int, path: Path, no_model: bool, as_json: bool) -> None:
    """Backfill a synthetic market, read a training frame and an online vector, then train, activate, serve and ask."""
    from btcfs.cli.demo_model import missing_extras, show_prediction, trained_and_asked
    from btcfs.cli.ingest_output import Narrator, show_report
    from btcfs.connection import connect, open_source
    from btcfs.definitions import Label
    from btcfs.pipeline.ingest import Ingest
    from btcfs.pipeline.standard import create_views

    source = open_source("sample", session.plugins, {"seed": seed})
    with (
        Narrator("demo", silent=as_json) as narrator,
        connect("duckdb", path=path, defaults={"symbol": "BTC-USD"}) as store,
    ):
        ingest = Ingest(store, source, plugins=session.plugins, notify=narrator)
        report = ingest.historical(days)
        made = create_views(store, ingest.feature_group, Label())
        frame = _training_frame(ingest, made.training)
        [vector] = store.get_online_features(made.inference, [{"symbol": ingest.symbol}])
        value: dict[str, Any] = {
            "ingest": report.to_dict(),
            "views": [made.training.title, made.inference.title],
            "training_rows": len(frame),
            "online": dict(zip(made.inference.features, map(float, vector.values), strict=True)),
            "online_event_time": vector.event_time,
            "path": str(path.resolve()),
            "model": None,
        }
        if not as_json:
            show_report(report)
            _show(value, frame)
        absent = missing_extras()
        if not no_model and not absent:
            value["model"] = trained_and_asked(
                store, made.training.name, path / "models", session.plugins, silent=as_json
            )

    def text() -> None:
        if value["model"] is not None:
            show_prediction(value["model"])
        elif not no_model:
            console.line(f"To train and serve as well: pip install 'btcfs[{','.join(absent)}]', then btcfs demo again")
        console.done(f"Everything lies in {value['path']}; remove the folder to start again")

    console.show(value, as_json, text)


def _training_frame(ingest: Ingest, view: Any) -> pd.DataFrame:
    """The view as it was known at each of the last rows' event times."""
    group = ingest.feature_group
    spine = ingest.store.read(group, entity={"symbol": ingest.symbol}, columns=["symbol", group.event_time])
    return ingest.store.get_historical_features(view, spine)


def _show(value: dict[str, Any], frame: pd.DataFrame) -> None:
    columns = [name for name in SHOWN if name in frame.columns]
    rows = [
        [f"{row['event_time']:%Y-%m-%d}", *(float(row[name]) for name in columns)]
        for row in frame.tail(5).to_dict("records")
    ]
    console.line()
    console.table(
        ("known at", *columns), rows, title=f"Training frame: {len(frame):,} rows, point in time; the last five"
    )
    console.line()
    console.line(f"Online vector of BTC-USD, known at {value['online_event_time']:%Y-%m-%d %H:%M} UTC:")
    console.table(columns, [[value["online"][name] for name in columns]])
    console.line()
    console.done(f"Views ready: {', '.join(value['views'])}")
