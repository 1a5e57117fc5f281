"""The emulator's REST API: the fields, rules and error codes that the real client reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs_hopsworks.emulator.application import Emulator
from hopsworks_api import STORE, Api

pytest_plugins = ["btcfs_hopsworks.testing", "hopsworks_api"]


# The fields that the network contract lists for what the client sends and what it needs back.
GROUP_ASKED = {
    "id", "name", "version", "description", "onlineEnabled", "timeTravelFormat", "features", "type", "statisticsConfig",
    "eventTime", "expectationSuite", "parents", "topicName", "notificationTopicName", "deprecated",
    "transformationFunctions", "ttl", "ttlEnabled", "sinkEnabled", "onlinePartitionColumns", "dataSource", "featurestoreId",
}  # fmt: skip


GROUP_NEEDED = {"type", "id", "version", "featurestoreId", "featurestoreName", "created", "creator", "location", "onlineTopicName"}  # fmt: skip


FEATURE_NEEDED = {"name", "type", "onlineType", "description", "primary", "partition", "hudiPrecombineKey"}


CREDENTIALS = {"kStore", "tStore", "password", "caChain", "clientCert", "clientKey"}


def test_fields_of_groups(emulator: Emulator, api: Api, hopsworks_script: Callable[[str], str]) -> None:
    """What the real client sends for a group, and what it gets, has the fields of the contract."""
    hopsworks_script(CREATE)
    group = next(g for g in emulator.state.groups.values() if g.name == "fields")
    answered = api.call("GET", f"{STORE}/featuregroups/fields", version=1).json()

    assert GROUP_ASKED - set(group.body) == set()
    assert isinstance(answered, list)
    assert GROUP_NEEDED - set(answered[0]) == set()
    assert FEATURE_NEEDED - set(answered[0]["features"][0]) == set()
    assert sum(feature["hudiPrecombineKey"] for feature in answered[0]["features"]) == 1


CREATE = """
import hopsworks
from hsfs.feature import Feature
store = hopsworks.login(engine="python").get_feature_store()
store.create_feature_group("fields", 1, primary_key=["id"], event_time="at", online_enabled=True,
    time_travel_format="HUDI", features=[Feature("id", "bigint"), Feature("at", "timestamp")]).save()
"""


def test_fields_of_login(api: Api) -> None:
    """Login, the feature store and the connectors answer with the fields that the client reads."""
    assert CREDENTIALS - set(api.call("GET", "/project/119/credentials").json()) == set()
    store = api.call("GET", "/project/119/featurestores/bitcoin_ml_pipeline_featurestore").json()
    assert {"featurestoreId", "featurestoreName", "projectId", "offlineFeaturestoreName", "onlineEnabled"} - set(
        store
    ) == set()
    kafka = api.call("GET", f"{STORE}/storageconnectors/kafka_connector/byok", external=True).json()
    assert (kafka["externalKafka"], kafka["securityProtocol"], kafka["sslEndpointIdentificationAlgorithm"]) == (
        True,
        "PLAINTEXT",
        "",
    )
    mysql = api.call("GET", f"{STORE}/storageconnectors/onlinefeaturestore").json()
    assert mysql["connectionString"].startswith(f"jdbc:mysql://{api.emulator.host}:3306/bitcoin_ml_pipeline")


def test_empty_lists_are_counted(api: Api) -> None:
    """An empty list is an object with count 0, never an empty answer: the client branches on the count."""
    number = api.group("empty").json()["id"]
    paths = [
        f"{STORE}/featuregroups/{number}/{part}" for part in ("commits", "tags", "expectationsuite", "online_ingestion")
    ]
    paths += [f"{STORE}/featuregroups/{number}/featuremonitoring/config/entity"]

    assert [api.call("GET", path).json()["count"] for path in paths] == [0] * len(paths)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "Upper"}, 270091),
        ({"name": "has-dash"}, 270091),
        ({"name": "1digit"}, 270091),
        ({"name": "x" * 64}, 270091),
        ({"description": "x" * 257}, 270092),
        ({"features": [{"name": "Id", "type": "bigint", "primary": True}]}, 270040),
        ({"features": [{"name": "id", "type": "bigint", "primary": True}] * 2}, 270224),
        ({"eventTime": "id", "features": [{"name": "id", "type": "string", "primary": True}]}, 270171),
        ({"features": [{"name": "id", "type": "timestamp", "primary": True}]}, 270176),
        ({"features": [{"name": "id", "type": "double", "primary": True}]}, 270176),
        ({"features": [{"name": "id", "type": "bigint"}]}, 270176),
        ({"features": [{"name": "id", "type": "string", "primary": True, "onlineType": "varchar(1001)"}]}, 270176),
        ({"features": [{"name": "id", "type": "bigint", "primary": True},
                       *({"name": f"f{i}", "type": "double"} for i in range(500))]}, 270176),
        ({"features": [{"name": "id", "type": "bigint", "primary": True},
                       *({"name": f"f{i}", "type": "string", "onlineType": "varchar(1000)"} for i in range(8))]}, 270176),
        ({"timeTravelFormat": "PAPER"}, 270101),
    ],
)  # fmt: skip
def test_rules_of_groups(api: Api, fields: dict[str, Any], code: int) -> None:
    """Names, types and sizes that the server refuses are refused with its error code, and nothing is left behind."""
    before = set(api.emulator.state.groups)

    answer = api.group(**{"name": "ruled", **fields})

    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
    assert set(answer.json()) == {"errorCode", "errorMsg", "usrMsg"}
    assert set(api.emulator.state.groups) == before


def test_largest_group_is_taken(api: Api) -> None:
    """What lies exactly on the limits is accepted."""
    features = [{"name": "id", "type": "string", "primary": True, "onlineType": "varchar(1000)"}]
    features += [{"name": f"f{i}", "type": "double"} for i in range(499)]

    assert api.group("a" * 63, *features, description="x" * 256).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/featuregroups/none?version=1", 404, 270009),
        ("GET", "/featuregroups/999999", 404, 270009),
        ("GET", "/featureview/none/version/1", 404, 270181),
        ("GET", "/storageconnectors/none", 404, 270042),
        ("GET", "/featuregroups/{group}/tags/none", 404, 370002),
        ("GET", "/featuregroups/{group}/statistics", 404, 270228),
        ("GET", "/featuregroups/{group}/featuremonitoring/config/name/none", 404, 270233),
    ],
)
def test_what_is_not_there(api: Api, method: str, path: str, status: int, code: int) -> None:
    """Each kind of missing thing has the code that the client turns into None or an empty list."""
    known = api.group("there")
    number = known.json().get("id") or next(g.id for g in api.emulator.state.groups.values() if g.name == "there")

    answer = api.call(method, STORE + path.format(group=number))

    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)


def test_what_is_there_already(api: Api) -> None:
    """A second group, and a second view, of the same name and version is refused."""
    group = api.group("twice").json()
    query = {"leftFeatureGroup": {"id": group["id"]}, "leftFeatures": [{"name": "id"}], "joins": []}
    view = {"name": "twice", "version": 1, "query": query, "features": []}
    first = api.call("POST", f"{STORE}/featureview", view)

    assert api.group("twice").json()["errorCode"] == 270089
    assert first.status_code == 200
    assert api.call("POST", f"{STORE}/featureview", view).json()["errorCode"] == 270179


def test_other_errors(api: Api) -> None:
    """Unknown projects, jobs, models, training datasets and offline groups online have their codes too."""
    offline = api.group("offline_only", onlineEnabled=False).json()["id"]
    codes = {
        api.call("GET", "/project/getProjectInfo/none").json()["errorCode"],
        api.call("GET", "/project/119/jobs/none").json()["errorCode"],
        api.call("GET", "/project/119/modelregistries/119/models/none_1").json()["errorCode"],
        api.call("POST", f"{STORE}/featuregroups/{offline}/online_ingestion", {"numEntries": 1}).json()["errorCode"],
        api.call("GET", "/project/119/dataset/Resources%2Fnone").json()["errorCode"],
        api.call("GET", "/project/119/dataset/..%2F..%2F..%2Fetc%2Fpasswd").json()["errorCode"],
    }

    assert codes == {150004, 130009, 360000, 270064, 110011, 110050}
