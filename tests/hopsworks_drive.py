"""What the real client does with the emulator, from login to delete; prints what it saw as one line of JSON.

Run in a process of its own, with the environment of an emulator: the client has one connection for each process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import hopsworks
import numpy as np
import pandas as pd
from hopsworks.client.exceptions import RestAPIError
from hsfs.feature import Feature

DAYS = 365
seen: dict[str, Any] = {}
random = np.random.default_rng(7)


def prices() -> pd.DataFrame:
    """365 rows of 11 columns, with a missing number and a missing text."""
    frame = pd.DataFrame(
        {
            "id": np.arange(DAYS),
            "at": pd.date_range("2023-01-01", periods=DAYS, tz="UTC"),
            "symbol": "BTC",
            "note": [None if i % 7 == 0 else f"n{i}" for i in range(DAYS)],
            "count": random.integers(0, 9, DAYS).astype("int32"),
            "flag": random.random(DAYS) > 0.5,
            **{name: random.random(DAYS) * 100 for name in ("open", "high", "low", "close", "volume")},
        }
    )
    frame.loc[3, "close"] = np.nan
    return frame


def refused(call: Any) -> list[Any]:
    """Status and code of the error that a call raises; [] if it raises none."""
    try:
        call()
    except RestAPIError as exc:
        return [exc.response.status_code, exc.error_code]
    return []


def log_in() -> Any:
    project = hopsworks.login(engine="python")
    store = project.get_feature_store()
    seen["project"], seen["store"] = project.name, store.name
    seen["no group"], seen["no view"] = store.get_feature_group("none", 1), store.get_feature_view("none", 1)
    return project, store


def write(store: Any, frame: pd.DataFrame) -> Any:
    group = store.get_or_create_feature_group(
        "prices", 1, description="daily", primary_key=["id"], event_time="at", online_enabled=True,
        time_travel_format="HUDI", statistics_config={"enabled": True, "histograms": True},
    )  # fmt: skip
    group.insert(frame, wait=True)
    read = group.read().sort_values("id", ignore_index=True)
    expected = frame.assign(at=frame["at"].dt.tz_localize(None))
    seen["offline"] = {
        "shape": read.shape,
        "differences": [c for c in frame if not read[c].astype(object).where(read[c].notna(), None).equals(
            expected[c].astype(object).where(expected[c].notna(), None))],
    }  # fmt: skip
    online = group.read(online=True).sort_values("id", ignore_index=True)
    seen["online"] = {
        "shape": online.shape,
        "close": bool(np.allclose(online["close"], frame["close"], equal_nan=True)),
    }
    chosen = group.select(["id", "close"]).filter((group.close > 50.0) & (group.symbol == "BTC")).read()
    seen["filtered"] = [len(chosen), int((frame["close"] > 50.0).sum()), list(chosen.columns)]
    some = group.filter(group["id"].isin([3, 5, 999])).read()
    seen["in"] = sorted(some["id"].tolist())
    upsert = frame[:10].assign(close=1.0)
    group.insert(upsert, wait=True)
    commits = list(group.commit_details().values())
    seen["commits"] = [[c["rowsInserted"], c["rowsUpdated"]] for c in commits]
    seen["upserted"] = float(group.read().sort_values("id")["close"][:10].sum()), len(group.read())
    return group


def second(store: Any) -> tuple[Any, pd.DataFrame]:
    frame = pd.DataFrame(
        {"key": "BTC", "at": pd.date_range("2022-12-30", periods=130, freq="3D", tz="UTC"), "rate": random.random(130)}
    )
    group = store.get_or_create_feature_group(
        "network", 1, primary_key=["key"], event_time="at", online_enabled=True, time_travel_format="HUDI"
    )
    group.insert(frame, wait=True)
    return group, frame


def view_and_training(store: Any, group: Any, other: Any, frame: pd.DataFrame, network: pd.DataFrame) -> Any:
    query = group.select_all().join(other.select(["rate"]), left_on=["symbol"], right_on=["key"], prefix="n_")
    joined = query.read().sort_values("id")
    expected = pd.merge_asof(frame, network[["at", "rate"]], on="at")
    seen["point in time"] = bool(np.array_equal(joined["n_rate"].to_numpy(), expected["rate"].to_numpy()))
    view = store.create_feature_view("daily", version=1, query=query, labels=["close"])
    seen["serving keys"] = sorted([k.feature_name, k.required, k.join_on or ""] for k in view.serving_keys)
    features, labels = view.training_data(statistics_config=False)
    seen["training"] = [features.shape, labels.shape, str(features["at"].dtype)[:10]]
    seen["random split"] = [x.shape for x in view.train_test_split(test_size=0.2)]
    times = dict(train_start="2023-01-01", train_end="2023-06-01", test_start="2023-06-01", test_end="2024-01-01")
    seen["time split"] = [x.shape for x in view.train_test_split(**times, statistics_config=False)]
    version, _ = view.create_training_data()
    seen["written"] = [x.shape for x in view.get_training_data(version)]
    version, _ = view.create_train_test_split(test_size=0.25, seed=3, data_format="csv")
    seen["written split"] = [x.shape for x in view.get_train_test_split(version)]
    seen["batch"] = len(view.get_batch_data(start_time="2023-03-01", end_time="2023-03-08"))
    keyed = view.get_batch_data(start_time="2023-03-01", end_time="2023-03-08", primary_key=True, event_time=True)
    seen["batch keys"] = [c for c in keyed.columns if "network" in c]
    seen["parents"] = sorted(g.name for g in view.get_parent_feature_groups().accessible)
    return view


def serve(store: Any, view: Any, group: Any, ca: str) -> None:
    entry = {"id": 20, "n_key": "BTC"}
    view.init_serving()
    by_sql = view.get_feature_vector(entry)
    seen["names"] = [f.name for f in view.features if not f.label]
    many = view.get_feature_vectors([{"id": i, "n_key": "BTC"} for i in (30, 20)])
    seen["vectors"] = [[v[0] for v in many], many[1] == by_sql]
    view.init_serving(init_rest_client=True, config_rest_client={"ca_certs": ca, "verify_certs": False})
    by_rest = view.get_feature_vector(entry)
    seen["sql and rest"] = [a == b or float(a) == float(b) for a, b in zip(by_sql, by_rest, strict=True)]
    plain = store.create_feature_view("plain", version=1, query=group.select(["id", "open"]))
    plain.init_serving()
    seen["missing"] = [
        plain.get_feature_vector({"id": 9999}),
        len(plain.get_feature_vectors([{"id": 1}, {"id": 9999}])),
    ]


def describe(group: Any, frame: pd.DataFrame) -> None:
    group.compute_statistics()
    found = {f.feature_name: f for f in group.get_statistics().feature_descriptive_statistics}
    volume, note = found["volume"], found["note"]
    seen["statistics"] = {
        "mean": abs(volume.mean - frame["volume"].mean()) < 1e-9,
        "std": abs(volume.std_dev - frame["volume"].std(ddof=0)) < 1e-9,
        "median": abs(volume.percentiles[49] - frame["volume"].median()) < 1e-9,
        "nulls": [note.num_null_values, int(frame["note"].isna().sum())],
        "histogram": len(volume.extended_statistics["histogram"]),
        "now": group.statistics is not None,
    }
    group.add_tag("unit", {"volume": "BTC"})
    seen["tags"] = [group.get_tag("unit"), group.get_tag("none")]
    group.delete_tag("unit")
    seen["tags after"] = group.get_tags()
    group.update_feature_description("close", "last price")
    group.append_features([Feature("extra", "double", description="more")])
    group.update_description("changed")


def monitor(group: Any) -> None:
    config = (
        group.create_feature_monitoring(name="drift", event_time=False)
        .with_detection_window()
        .compare_on(feature_name="volume", metric="mean", threshold=0.5, specific_value=1e6)
        .save()
    )
    config.run_once()
    for _ in range(40):
        history = config.get_history(with_statistics=True)
        if history:
            break
    result = history[0]
    seen["monitoring"] = [
        sorted(result.shifted_feature_names),
        result.feature_statistics_results[0].detection_statistics.count,
    ]
    seen["configurations"] = [c.name for c in group.get_feature_monitoring_configs()]
    config.delete()


def models(project: Any) -> None:
    registry = project.get_model_registry()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        (Path(folder) / "model" / "weights.txt").write_text("1 2 3")
        for accuracy in (0.5, 0.75):
            registry.python.create_model("up", metrics={"accuracy": accuracy}).save(
                f"{folder}/model", keep_original_files=True
            )
        best = registry.get_best_model("up", "accuracy", "max")
        (Path(folder) / "back").mkdir()
        got = Path(best.download(local_path=f"{folder}/back"))
        seen["models"] = [len(registry.get_models("up")), best.version, (got / "weights.txt").read_text()]
        best.delete()
        seen["model after"] = registry.get_model("up", 2)
        files, whole = project.get_dataset_api(), Path(folder) / "whole.bin"
        whole.write_bytes(os.urandom(2_500_000))
        files.upload(str(whole), "Resources", chunk_size=1_000_000)
        copy = files.download("Resources/whole.bin", local_path=f"{folder}/copy.bin")
        seen["files"] = [Path(copy).read_bytes() == whole.read_bytes(), files.exists("Resources/whole.bin")]
        files.remove("Resources/whole.bin")
        seen["file after"] = files.exists("Resources/whole.bin")


def delete(store: Any, group: Any, view: Any) -> None:
    kept = store.get_feature_group("prices", 1)
    seen["columns"] = [[c.name, c.description] for c in kept.columns if c.name in ("close", "extra")]
    seen["description"] = kept.description
    seen["used"] = refused(kept.delete)
    view.delete()
    store.get_feature_view("plain", 1).delete()
    kept.delete()
    seen["gone"] = [store.get_feature_group("prices", 1), store.get_feature_view("daily", 1)]


def main() -> None:
    project, store = log_in()
    frame = prices()
    group = write(store, frame)
    other, network = second(store)
    frame.loc[:9, "close"] = 1.0
    view = view_and_training(store, group, other, frame, network)
    serve(store, view, group, sys.argv[1] if len(sys.argv) > 1 else "")
    describe(group, frame)
    monitor(group)
    models(project)
    delete(store, group, view)
    print("\nSEEN " + json.dumps(seen, default=str))


if __name__ == "__main__":
    main()
