"""What others made in a Feast repository: it is read and joined, served as it is now, and left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import feast

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import DefinitionError, NotFound, StoreUnavailable, Unsupported
from btcfs.testing.backends.comparing import assert_same, bits, vector
from btcfs.testing.backends.examples import (
    DAY,
    HOUR,
    MICROSECOND,
    START,
    candle_group,
    candles,
    event_group,
    put,
    spine,
    view_of,
)
from btcfs_feast import connect
from repositories import sql_repository, write_config

pytest_plugins = ["repositories"]
OFFLINE = ("dask", "duckdb")


def theirs(root: Path, *, key: Any = feast.ValueType.STRING, revisions: int = 1) -> Any:
    """A repository with a view, a service and rows that others made: hourly prices of two coins, each revised so often."""
    store = feast.FeatureStore(repo_path=str(root))
    coins = ["BTC", "ETH"] if key == feast.ValueType.STRING else [7, 8]
    frame = pd.DataFrame(
        [
            (
                coin,
                START + hour * HOUR,
                START + hour * HOUR + (n + 1) * DAY,
                100.0 * coins.index(coin) + hour + n / 10,
                n,
            )
            for coin in coins
            for hour in range(30)
            for n in range(revisions)
        ],
        columns=["coin", "event_timestamp", "created", "price", "trades"],
    )
    frame = frame.assign(**{name: frame[name].dt.as_unit("us") for name in ("event_timestamp", "created")})
    frame.sample(frac=1.0, random_state=1).to_parquet(root / "data" / "prices.parquet", index=False)
    source = feast.FileSource(
        name="prices",
        path=str(root / "data" / "prices.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    coin = feast.Entity(name="coin", join_keys=["coin"], value_type=key)
    types = {"coin": feast.types.String if key == feast.ValueType.STRING else feast.types.Int64}
    fields = {**types, "price": feast.types.Float64, "trades": feast.types.Int64}
    view = feast.FeatureView(
        name="prices", entities=[coin], source=source, schema=[feast.Field(name=n, dtype=t) for n, t in fields.items()]
    )
    store.apply([coin, view, feast.FeatureService(name="pricing", features=[view[["price"]]])])
    store.write_to_online_store("prices", frame[frame["event_timestamp"] == START + 29 * HOUR])
    return store


@pytest.mark.parametrize("offline", OFFLINE)
@pytest.mark.parametrize("key", [feast.ValueType.STRING, feast.ValueType.INT64])
def test_views_of_others_are_read(tmp_path: Path, offline: str, key: Any) -> None:
    """A view that others made is a group: its newest revisions are read and joined, its online row served, as of too."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    theirs(root, key=key, revisions=8)
    coin = "BTC" if key == feast.ValueType.STRING else "7"
    with connect(root) as store:
        group, view = store.definitions()
        assert isinstance(group, FeatureGroup)
        assert isinstance(view, FeatureView)
        assert (group.ref, group.primary_key, group.feature_names) == (
            ("prices", 1), ("coin", "timestamp"), ("price", "trades"),
        )  # fmt: skip
        rows = store.read(group, entity={"coin": coin})
        assert rows["price"].tolist() == [hour + 0.7 for hour in range(30)]
        assert rows["trades"].tolist() == [7] * 30
        assert store.summary(group).rows == 60
        early = store.read(group, START, START + HOUR, entity={"coin": coin}, as_of=START + DAY)
        assert early["price"].tolist() == [0.0]
        asked = spine(group, (coin, START - HOUR), (coin, START + 3 * HOUR), ("9", START), (coin, START + 3 * HOUR))
        found = store.get_historical_features(view, asked)
        assert bits(found["price"]) == bits([np.nan, 3.7, np.nan, 3.7])
        assert vector(store, view, coin=coin).values.tolist() == [29.7]
        assert vector(store, view, coin=coin, timestamp=START + 5 * HOUR).values.tolist() == [5.7]
        with pytest.raises(NotFound):
            vector(store, view, coin="DOGE")


def test_views_of_others_are_left_alone(local: Path) -> None:
    """A group of others is not written, changed or deleted; a view over it may be applied."""
    client = theirs(local)
    before = client.get_feature_view("prices").to_proto()
    with connect(local) as store:
        group = store.definitions()[0]
        assert isinstance(group, FeatureGroup)
        store.apply(group)
        for act in (lambda: store.write(group, store.read(group)), lambda: store.delete(group)):
            with pytest.raises((Unsupported, DefinitionError)):
                act()
        mine = FeatureView("mine", 1, [group.ref], ["trades", "price"])
        store.apply(mine)
        assert store.get_historical_features(mine, spine(group, ("ETH", START + HOUR)))["price"].tolist() == [101.0]
        assert mine in store.definitions()

    assert feast.FeatureStore(repo_path=str(local)).get_feature_view("prices").to_proto() == before


def test_a_name_that_others_use_is_refused(local: Path) -> None:
    """A group or view whose Feast name others took, or whose key is another entity, is refused and nothing is made."""
    client = theirs(local, key=feast.ValueType.INT64)
    view = client.get_feature_view("prices")
    taken = feast.FeatureView(name="mine__v1", entities=[client.get_entity("coin")], source=view.batch_source)
    client.apply([taken, feast.FeatureService(name="ours__v1", features=[view])])
    with connect(local) as store:
        before = store.definitions()
        mine, other = candle_group(name="mine"), candle_group(name="other")
        for wrong, word in ((mine, "mine__v1"), (candle_group(primary_key=("coin", "timestamp")), "INT64")):
            with pytest.raises(DefinitionError, match=word):
                store.apply(wrong)
        with pytest.raises(DefinitionError, match="btcfs_created"):
            store.apply(candle_group(Feature("btcfs_created")))
        assert store.definitions() == before
        assert not list((local / "data" / "btcfs").glob("parts/*"))
        store.apply(other)
        with pytest.raises(DefinitionError, match="ours__v1"):
            store.apply(view_of(other, name="ours"))
        assert view_of(other, name="ours") not in store.definitions()


@pytest.mark.parametrize("offline", OFFLINE)
def test_other_clients_read_what_btcfs_wrote(tmp_path: Path, offline: str) -> None:
    """Feast's own join of a group, read from the same repository, has the numbers of ours; materializing changes none."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    group = candle_group("a", Feature("n", "int64"), name="bars")
    view = view_of(group, name="model")
    frame = candles(candle_group("a"), 40).assign(n=range(40))
    with connect(root) as store:
        put(store, group, frame)
        store.apply(view)
        asked = spine(group, *[("BTC-USD", START + n * HOUR) for n in range(1, 40)])
        ours = store.get_historical_features(view, asked)
        client = feast.FeatureStore(repo_path=str(root))
        job = client.get_historical_features(
            asked.rename(columns={"event_time": "event_timestamp"}), client.get_feature_service("model__v1")
        )
        other = job.to_df().sort_values("event_timestamp")
        assert other["a"].tolist() == ours["a"].tolist()
        assert other["n"].tolist() == ours["n"].tolist()

        client.materialize(START - DAY, START + 3 * DAY)
        served = client.get_online_features(["bars__v1:a"], [{"symbol": "BTC-USD"}]).to_dict()["a"]
        assert served == [frame["a"].iloc[-1]]
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [frame["a"].iloc[-1], 39.0]


@pytest.mark.parametrize("offline", OFFLINE)
def test_feasts_own_join_is_repaired(tmp_path: Path, offline: str) -> None:
    """Without a scan Feast joins, and gives the frame of the scan: rows, order, index, types; what it would get wrong is refused."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    theirs(root)
    group, moving = candle_group("a", Feature("n", "int64")), event_group("m")
    view, moving_view = view_of(group, features=("n", "a")), view_of(moving)
    frame = pd.concat([candles(candle_group("a"), 20, symbol=s, seed=k) for k, s in enumerate(("BTC", "ETH"))])
    draw = np.random.default_rng(5)
    asked = spine(
        group,
        *[(str(draw.choice(["BTC", "ETH", "?"])), START + int(draw.integers(-5, 30)) * HOUR) for _ in range(60)],
        *[("BTC", START + HOUR - MICROSECOND), ("BTC", START + HOUR), ("BTC", START + HOUR)],
    )
    asked.index = pd.Index(range(100, 163))
    with connect(root) as store:
        put(store, group, frame.assign(n=range(40)))
        store.apply(moving)
        store.apply(view)
        store.apply(moving_view)
        expected = store.get_historical_features(view, asked)
        prices = next(d for d in store.definitions() if d.name == "pricing")
        assert isinstance(prices, FeatureView)
    with connect(root, scan=False) as store:
        assert_same(
            store.get_historical_features(view, asked.sample(frac=1.0, random_state=3)).loc[asked.index], expected
        )
        for refused in (
            lambda: store.read(group),
            lambda: store.get_historical_features(view, asked, as_of=START),
            lambda: store.get_historical_features(moving_view, asked),
        ):
            with pytest.raises(Unsupported):
                refused()
        assert vector(store, view, symbol="ETH").values.tolist()[0] == 39.0
        if offline == "dask":
            with pytest.raises(Unsupported, match="revised"):
                store.get_historical_features(
                    prices,
                    spine(moving, ("X", START)).rename(columns={"symbol": "coin", "event_time": "event_timestamp"}),
                )


def test_what_others_changed_is_served_as_it_is_now(tmp_path: Path) -> None:
    """A view that others made, revised or disabled after the store was opened is served as it is, though Feast keeps a copy."""
    root = sql_repository(tmp_path / "repo")
    with connect(root) as store:
        client = theirs(root)
        group, pricing = store.definitions()
        assert isinstance(group, FeatureGroup)
        assert isinstance(pricing, FeatureView)
        assert vector(store, pricing, coin="BTC").values.tolist() == [29.0]

    with connect(root) as store:
        store.get_online_features(pricing, [{"coin": "BTC"}])
        view = client.get_feature_view("prices")
        view.ttl = DAY
        client.apply([view])
    # Beyond its time to live the newest row is served from neither the online nor the offline store.
    with connect(root) as store, pytest.raises(NotFound):
        vector(store, pricing, coin="BTC")

    # A SQL registry takes no notice of a view that was disabled and is otherwise the same.
    view.enabled, view.description = False, "no longer kept"
    client.apply([view])
    with connect(root) as store, pytest.raises(StoreUnavailable, match="prices.* is disabled"):
        vector(store, pricing, coin="BTC")
