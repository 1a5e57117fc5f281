"""The emulator's query service, REST vectors and MySQL protocol, with real clients and with faults."""

from __future__ import annotations

import ssl
from typing import Any

import attrs
import httpx
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

import pyarrow.flight as flight
import pymysql

from btcfs_hopsworks.emulator import data_plane
from btcfs_hopsworks.emulator.metadata import Feature, Group, ServingKey, TrainingSet, View, ViewFeature
from emulated import PROJECT, Emulated, row

pytest_plugins = ["emulated"]


def ask(cluster: Emulated, sql: str, timeout: float = 20.0) -> Any:
    client, options = cluster.flight(), flight.FlightCallOptions(timeout=timeout)
    command = flight.FlightDescriptor.for_command(b'{"sql": "%s"}' % sql.replace('"', '\\"').encode())
    info = client.get_flight_info(command, options)
    return client.do_get(info.endpoints[0].ticket, options).read_all()


def closes(group: Group) -> str:
    return f'SELECT number, close FROM "{PROJECT.featurestore}"."{group.table}" ORDER BY number'


def test_query_over_flight(cluster: Emulated, stored: Group) -> None:
    """A query's rows come back over mutual TLS, in its order."""
    assert ask(cluster, closes(stored)).to_pydict() == {
        "number": list(range(8)),
        "close": [n / 4 for n in range(8)],
    }


def test_what_the_client_asks_first(cluster: Emulated) -> None:
    """The service is healthy, has a version, and lists what it can do."""
    client = cluster.flight()

    def act(name: str) -> list[bytes]:
        return [result.body.to_pybytes() for result in client.do_action(flight.Action(name, b""))]

    assert {"healthcheck", "get-version", "register-client-certificates"} <= {a.type for a in client.list_actions()}
    assert len(act("healthcheck")) == len(act("get-version")) == len(act("register-client-certificates")) == 1
    with pytest.raises(flight.FlightServerError, match="no action 'dance'"):
        act("dance")


def test_strangers_are_refused(cluster: Emulated, stored: Group) -> None:
    """Without a client certificate of this cluster nothing is answered."""
    authority = cluster.plane.credentials(PROJECT).ca_chain
    stranger = flight.FlightClient(
        f"grpc+tls://{cluster.host}:5005",
        tls_root_certs=authority,
        override_hostname=f"flyingduck.service.{data_plane.DOMAIN}",
    )
    with pytest.raises(flight.FlightUnavailableError):
        list(stranger.do_action(flight.Action("healthcheck", b""), flight.FlightCallOptions(timeout=5)))


def test_wrong_query_says_why(cluster: Emulated) -> None:
    """A query that cannot be run fails with the warehouse's words."""
    with pytest.raises(flight.FlightServerError, match="nonexistent"):
        ask(cluster, "SELECT * FROM nonexistent")


def test_flight_down_and_torn(cluster: Emulated, stored: Group) -> None:
    """Down is unavailable, a torn answer is an error after some rows, a hung one outlasts the client's patience."""
    cluster.knobs.change({"flight_down": True})
    with pytest.raises(flight.FlightUnavailableError):
        ask(cluster, closes(stored))
    cluster.knobs.reset()
    cluster.knobs.add("torn", "flight do_get *")
    with pytest.raises(flight.FlightServerError, match="tear"):
        ask(cluster, closes(stored))
    cluster.knobs.add("hang", "flight do_get *", seconds=2.0)
    with pytest.raises(flight.FlightTimedOutError):
        ask(cluster, closes(stored), timeout=0.3)

    assert ask(cluster, closes(stored)).num_rows == 8


def test_training_dataset_files(cluster: Emulated, stored: Group) -> None:
    """A training dataset that the service writes is read back by its path."""
    view = a_view(cluster, stored)
    location = f"/Projects/{PROJECT.name}/{PROJECT.name}_Training_Datasets/{view.name}_1_1"
    cluster.state.training_sets[1] = TrainingSet(1, view.id, 1, False, "parquet", location, 0)
    wanted = b'{"project_name": "%s", "fv_name": "%s", "fv_version": 1, "tds_version": 1, "query": {"sql": "%s"}}' % (
        PROJECT.name.encode(),
        view.name.encode(),
        closes(stored).replace('"', '\\"').encode(),
    )
    list(cluster.flight().do_action(flight.Action("create-training-dataset", wanted)))

    (written,) = (cluster.state.file(location) / f"{view.name}_1").iterdir()
    path = f"hopsfs://namenode:8020{location}/{view.name}_1/{written.name}"
    info = cluster.flight().get_flight_info(flight.FlightDescriptor.for_path(path))
    table = cluster.flight().do_get(info.endpoints[0].ticket).read_all()
    assert table["close"].to_pylist() == [n / 4 for n in range(8)]


def a_view(cluster: Emulated, group: Group) -> View:
    """A view of ``close`` (a label), the key ``number`` and ``up``."""
    number = cluster.state.next_id()
    features = (
        ViewFeature("close", "double", "close", group.id, 0, label=True),
        ViewFeature("number", "bigint", "number", group.id, 1),
        ViewFeature("up", "boolean", "up", group.id, 2),
        ViewFeature("at", "timestamp", "at", group.id, 3),
    )
    keys = (ServingKey("symbol", group.id, 0), ServingKey("number", group.id, 0))
    view = View(number, PROJECT.id, f"view{number}", 1, {}, features, keys, 0)
    cluster.state.views[number] = view
    return view


def lookup(cluster: Emulated, view: View, entries: Any, key: str = "key", timeout: float = 10.0) -> httpx.Response:
    path = "batch_feature_store" if isinstance(entries, list) else "feature_store"
    trusted = ssl.create_default_context(cafile=str(cluster.plane.ca_certificate))
    return httpx.post(
        f"https://{cluster.host}:4406/0.1.0/{path}",
        json={
            "featureStoreName": PROJECT.name,
            "featureViewName": view.name,
            "featureViewVersion": 1,
            "entries": entries,
            "metadataOptions": {"featureName": True, "featureType": True},
            "options": {"includeDetailedStatus": True},
        },
        headers={"X-API-KEY": key},
        verify=trusted,
        timeout=timeout,
        trust_env=False,
    )


def test_vector_by_rest(cluster: Emulated, stored: Group) -> None:
    """A vector has every feature but the labels, in the view's order, and says what it is."""
    found = lookup(cluster, a_view(cluster, stored), {"symbol": "BTC", "number": 3}).json()

    assert found == {
        "features": [3, False, "2024-01-04 00:00:00"],
        "status": "COMPLETE",
        "metadata": [
            {"featureName": "number", "featureType": "bigint"},
            {"featureName": "up", "featureType": "boolean"},
            {"featureName": "at", "featureType": "timestamp"},
        ],
        "detailedStatus": [{"featureGroupId": stored.id, "operationId": "0", "httpStatus": 200, "message": ""}],
    }


def test_missing_vectors_keep_their_place(cluster: Emulated, stored: Group) -> None:
    """A batch answers in the order asked; a key without a row, or half a key, is missing in its place."""
    entries = [
        {"symbol": "BTC", "number": 2},
        {"symbol": "btc", "number": 2},
        {"number": 1},
        {"symbol": "BTC", "number": 0},
    ]
    found = lookup(cluster, a_view(cluster, stored), entries).json()

    assert found["status"] == ["COMPLETE", "MISSING", "MISSING", "COMPLETE"]
    assert [values[:2] for values in found["features"]] == [[2, True], [2, None], [1, None], [0, True]]
    assert [[detail["httpStatus"] for detail in details] for details in found["detailedStatus"]] == [
        [200], [404], [404], [200],
    ]  # fmt: skip


def test_vector_of_two_groups(cluster: Emulated, stored: Group) -> None:
    """Each group of a join is looked up by its own key, a prefixed one too; one without a row leaves its places empty."""
    other = cluster.group(Feature("mood", "double"))
    cluster.counted(cluster.write(other, [row(7, mood=0.5)]))
    number = cluster.state.next_id()
    features = (
        ViewFeature("up", "boolean", "up", stored.id, 0),
        ViewFeature("o_mood", "double", "mood", other.id, 1, join_index=1, prefix="o_"),
    )
    keys = (
        ServingKey("symbol", stored.id, 0),
        ServingKey("number", stored.id, 0),
        ServingKey("symbol", other.id, 1, prefix="o_", required=False, join_on="symbol"),
        ServingKey("number", other.id, 1, prefix="o_", required=True),
    )
    view = View(number, PROJECT.id, f"view{number}", 1, {}, features, keys, 0)
    cluster.state.views[number] = view
    known = {"symbol": "BTC", "number": 2}

    found = lookup(cluster, view, [{**known, "o_number": 7}, {**known, "o_number": 8}]).json()

    assert found["features"] == [[True, 0.5], [True, None]]
    assert found["status"] == ["COMPLETE", "MISSING"]
    assert [detail["httpStatus"] for detail in found["detailedStatus"][1]] == [200, 404]


def test_rest_vectors_refuse(cluster: Emulated, stored: Group) -> None:
    """A wrong key is 401 and an unknown view 400."""
    view = a_view(cluster, stored)
    entry = {"symbol": "BTC", "number": 2}

    assert lookup(cluster, view, entry, key="wrong").status_code == 401
    assert lookup(cluster, attrs.evolve(view, name="other"), entry).status_code == 400


def test_rest_vectors_go_wrong_as_told(cluster: Emulated, stored: Group) -> None:
    """Every kind of fault reaches the client as what it is, once, and is in the call log."""
    view, entry = a_view(cluster, stored), {"symbol": "BTC", "number": 2}
    cluster.knobs.add("status", "rdrs POST *", status=503)
    assert lookup(cluster, view, entry).status_code == 503
    cluster.knobs.add("drop", "rdrs POST *")
    with pytest.raises(httpx.TransportError):
        lookup(cluster, view, entry)
    cluster.knobs.add("torn", "rdrs POST *")
    with pytest.raises(httpx.RemoteProtocolError):
        lookup(cluster, view, entry)
    cluster.knobs.add("hang", "rdrs POST *", seconds=2.0)
    with pytest.raises(httpx.ReadTimeout):
        lookup(cluster, view, entry, timeout=0.3)

    assert lookup(cluster, view, entry).status_code == 200


def test_online_faults(cluster: Emulated, stored: Group) -> None:
    """Statements fail, hang, are cut and are torn as told; a wrong password is refused."""
    statement = f"SELECT * FROM {stored.table}"
    for kind in ("fail", "drop", "torn"):
        cluster.knobs.add(kind, "mysql SELECT *")
        with pytest.raises(pymysql.OperationalError):
            cluster.sql(statement)
    assert len(cluster.sql(statement)) == 8
    address = cluster.plane.online_address
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host=address.host, port=address.port, user=address.user, password="wrong")
