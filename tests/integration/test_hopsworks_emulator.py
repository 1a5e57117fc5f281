"""The emulator as the real client finds it: a drive from login to delete in both modes, then rules, errors and fields."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from distributions import command as run_command
from emulated import MODES, services

pytest_plugins = ["btcfs_hopsworks.testing"]

DRIVE = Path(__file__).parents[1] / "hopsworks_drive.py"
STORE = "/project/119/featurestores/1119"
# The fields that the network contract lists for what the client sends and what it needs back.
GROUP_ASKED = {
    "id", "name", "version", "description", "onlineEnabled", "timeTravelFormat", "features", "type", "statisticsConfig",
    "eventTime", "expectationSuite", "parents", "topicName", "notificationTopicName", "deprecated",
    "transformationFunctions", "ttl", "ttlEnabled", "sinkEnabled", "onlinePartitionColumns", "dataSource", "featurestoreId",
}  # fmt: skip
GROUP_NEEDED = {"type", "id", "version", "featurestoreId", "featurestoreName", "created", "creator", "location", "onlineTopicName"}  # fmt: skip
FEATURE_NEEDED = {"name", "type", "onlineType", "description", "primary", "partition", "hudiPrecombineKey"}
CREDENTIALS = {"kStore", "tStore", "password", "caChain", "clientCert", "clientKey"}


@pytest.fixture(scope="module")
def emulator(hopsworks_emulator: Emulator) -> Emulator:
    """The one that strangers get."""
    return hopsworks_emulator


@attrs.frozen
class Driven:
    """An emulator after the drive of the real client, and what that saw."""

    emulator: Emulator
    seen: dict[str, Any]


@pytest.fixture(scope="module", params=MODES)
def driven(request: pytest.FixtureRequest) -> Iterator[Driven]:
    named = services(request.param, free_address())
    with Emulator(host=named.host, mysql=named.mysql, kafka=named.kafka) as running:
        done = subprocess.run(
            [sys.executable, str(DRIVE), str(running.ca_certificate)],
            env={**os.environ, **running.environment()},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        yield Driven(running, json.loads(done.stdout.rsplit("SEEN ", 1)[1]))


@pytest.fixture
def seen(driven: Driven) -> dict[str, Any]:
    """What the drive of the real client saw."""
    return driven.seen


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    """A client of the REST API; the knobs are as they were at the start."""
    emulator.knobs.reset()
    with httpx.Client(verify=ssl.create_default_context(cafile=str(emulator.ca_certificate)), timeout=10.0) as http:
        yield Api(http, emulator)
    emulator.knobs.reset()


class Api:
    """Calls with the key, as JSON."""

    def __init__(self, http: httpx.Client, emulator: Emulator) -> None:
        self.http, self.emulator = http, emulator
        self.base = f"{emulator.url}/hopsworks-api/api"
        self.headers = {"Authorization": f"ApiKey {emulator.api_key}"}

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.http.request(method, self.base + path, json=body, params=query, headers=self.headers)

    def group(self, name: str, *features: dict[str, Any], **fields: Any) -> httpx.Response:
        """Creates a group with a key ``id`` unless features are given."""
        described = list(features) or [{"name": "id", "type": "bigint", "primary": True}]
        body = {
            "name": name,
            "version": 1,
            "type": "streamFeatureGroupDTO",
            "timeTravelFormat": "HUDI",
            "onlineEnabled": True,
            "features": described,
        }
        return self.call("POST", f"{STORE}/featuregroups", {**body, **fields})


def test_a_round_trip_loses_nothing(seen: dict[str, Any]) -> None:
    """365 rows of 11 columns come back from both stores as they were written, NaN and missing text included."""
    assert seen["offline"] == {"shape": [365, 11], "differences": []}
    assert seen["online"] == {"shape": [365, 11], "close": True}


def test_filters_choose_rows(seen: dict[str, Any]) -> None:
    """Filters are combined and typed; NaN counts as larger than any number, as in DuckDB, which the real service runs."""
    found, expected, columns = seen["filtered"]

    assert (found, columns) == (expected + 1, ["id", "close"])
    assert seen["in"] == [3, 5]


def test_an_upsert_replaces(seen: dict[str, Any]) -> None:
    """Ten rows with known keys are updates in the newest commit, and no further rows."""
    assert seen["commits"] == [[0, 10], [365, 0]]
    assert seen["upserted"] == [10.0, 365]


def test_joins_see_no_later_row(seen: dict[str, Any]) -> None:
    """A joined group gives its latest row at or before the left row's event time: as pandas.merge_asof says."""
    assert seen["point in time"]


def test_training_data_in_memory_and_written(seen: dict[str, Any]) -> None:
    """Training data has the view's columns without labels; splits are disjoint, by share or by half-open times."""
    assert seen["training"] == [[365, 11], [365, 1], "datetime64"]
    assert seen["random split"] == [[292, 11], [73, 11], [292, 1], [73, 1]]
    assert seen["time split"] == [[151, 11], [214, 11], [151, 1], [214, 1]]
    assert seen["written"] == [[365, 11], [365, 1]]
    assert seen["written split"] == [[274, 11], [91, 11], [274, 1], [91, 1]]


def test_batches_are_half_open(seen: dict[str, Any]) -> None:
    """A batch from 1 to 8 March has seven days; keys that were not selected come under their qualified names."""
    assert seen["batch"] == 7
    assert seen["batch keys"] == ["bitcoin_ml_pipeline_network_1_key", "bitcoin_ml_pipeline_network_1_at"]


def test_vectors_by_sql_and_rest_agree(seen: dict[str, Any]) -> None:
    """Both ways of serving give the same vector, in the view's order without labels, and in the order asked."""
    assert seen["vectors"] == [[30, 20], True]
    assert all(seen["sql and rest"])
    assert len(seen["sql and rest"]) == len(seen["names"])


def test_missing_keys_are_dropped_by_the_client(seen: dict[str, Any]) -> None:
    """The client gives None for one missing key, and leaves it out of many: the trap is there to be met."""
    assert seen["missing"] == [None, 1]


def test_serving_keys_say_what_is_required(seen: dict[str, Any]) -> None:
    """A joined key is required when the left group's own key does not give it."""
    assert seen["serving keys"] == [["id", True, ""], ["key", True, "symbol"]]


def test_statistics_are_computed_by_the_cluster(seen: dict[str, Any]) -> None:
    """Statistics of a commit equal pandas', and are found by the time of now."""
    assert seen["statistics"] == {
        "mean": "True", "std": "True", "median": "True", "nulls": [53, 53], "histogram": 20, "now": True,
    }  # fmt: skip


def test_tags_and_descriptions_are_kept(seen: dict[str, Any]) -> None:
    """Tags and descriptions come back as written; appended features are there; a tag that was deleted is not."""
    assert seen["tags"] == [{"volume": "BTC"}, None]
    assert seen["tags after"] == {}
    assert seen["columns"] == [["close", "last price"], ["extra", "more"]]
    assert seen["description"] == "changed"


def test_monitoring_finds_a_shift(seen: dict[str, Any]) -> None:
    """A run of a configuration compares the window with its reference, and keeps what it found."""
    assert seen["monitoring"] == [["volume"], 365]
    assert seen["configurations"] == ["drift"]


def test_models_and_files(seen: dict[str, Any]) -> None:
    """The best model by a metric comes back with its files; files uploaded in chunks come back whole."""
    assert seen["models"] == [2, 2, "1 2 3"]
    assert seen["files"] == [True, True]
    assert [seen["model after"], seen["file after"]] == [None, False]


def test_deleting(seen: dict[str, Any]) -> None:
    """A group that a view uses is refused; after the view, it goes, and neither is found."""
    assert seen["used"] == [400, 270232]
    assert seen["gone"] == [None, None]
    assert [seen["no group"], seen["no view"], seen["parents"]] == [None, None, ["network", "prices"]]


def test_every_call_is_logged(driven: Driven) -> None:
    """The drive's calls are in the log by plane, and none of them was an error of the emulator itself."""
    planes = {call.plane for call in driven.emulator.calls.calls()}

    assert {"rest", "flight", "rdrs", "job"} <= planes
    assert [c.call for c in driven.emulator.calls.calls("rest") if (c.status or 0) >= 500] == []


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


@pytest.mark.parametrize(
    ("status", "code"), [(401, 320004), (403, 320002), (429, 120029), (500, 120000), (503, 120000)]
)
def test_a_status_for_the_next_calls(api: Api, status: int, code: int) -> None:
    """A fault answers the next n calls that match its pattern, and no others."""
    api.emulator.knobs.add("status", "rest GET /project", status=status, times=2)

    answers = [api.call("GET", path) for path in ("/project", "/variables/versions", "/project", "/project")]

    assert [a.status_code for a in answers] == [status, 200, status, 200]
    assert answers[0].json()["errorCode"] == code


def test_an_expired_key(api: Api) -> None:
    """With the key expired, and with a wrong key, every call is refused with 401 and the code of API keys."""
    api.emulator.knobs.change({"key_expired": True})
    expired = api.call("GET", "/project")
    api.emulator.knobs.reset()
    wrong = api.http.get(api.base + "/project", headers={"Authorization": "ApiKey wrong"})

    assert [(a.status_code, a.json()["errorCode"]) for a in (expired, wrong)] == [(401, 320004)] * 2


@pytest.mark.parametrize(
    ("kind", "error"),
    [("hang", httpx.ReadTimeout), ("torn", httpx.RemoteProtocolError), ("drop", httpx.RemoteProtocolError)],
)
def test_broken_answers(api: Api, kind: str, error: type[Exception]) -> None:
    """A socket hangs, an answer is torn in the middle, a connection is dropped; the next call goes well."""
    api.emulator.knobs.add(kind, "rest GET /project")

    with pytest.raises(error):
        api.http.get(api.base + "/project", headers=api.headers, timeout=0.5)
    assert api.call("GET", "/project").status_code == 200


def test_knobs_over_http(api: Api) -> None:
    """Knobs are set, added to, read and reset by HTTP; a name or value that makes no sense is refused by name."""
    knobs = f"{api.emulator.url}/_emulator/knobs"
    changed = api.http.put(knobs, json={"job_delay": 0.5}).json()
    added = api.http.post(knobs, json={"kind": "fail", "where": "job *", "times": 3}).json()
    wrong = [
        api.http.put(knobs, json=body) for body in ({"jobdelay": 1}, {"job_delay": "x"}, {"faults": [{"kind": "x"}]})
    ]

    assert changed["job_delay"] == 0.5
    assert (added["faults"][0]["where"], added["faults"][0]["times"]) == ("job *", 3)
    assert [answer.status_code for answer in wrong] == [400, 400, 400]
    assert "jobdelay" in wrong[0].json()["usrMsg"]
    assert api.http.delete(knobs).json()["faults"] == []


def test_jobs_are_delayed_fail_and_have_logs(api: Api) -> None:
    """A delayed job runs meanwhile; a failed one ends FAILED; the logs of an ended one are there."""
    group = api.group("worked").json()
    path = f"/project/119/jobs/{group['name']}_1_offline_fg_materialization/executions"
    api.emulator.knobs.change({"job_delay": 0.3})
    first = api.call("POST", path).json()
    running = api.call("GET", f"{path}/{first['id']}").json()
    ended = eventually(lambda: api.call("GET", f"{path}/{first['id']}").json(), "state", "FINISHED")
    api.emulator.knobs.reset()
    api.emulator.knobs.add("fail", "job worked_*")
    second = api.call("POST", path).json()
    failed = eventually(lambda: api.call("GET", f"{path}/{second['id']}").json(), "state", "FAILED")

    assert (running["state"] in ("INITIALIZING", "RUNNING"), running["finalStatus"]) == (True, "UNDEFINED")
    assert (ended["finalStatus"], failed["finalStatus"]) == ("SUCCEEDED", "FAILED")
    logs = [api.call("GET", f"/project/119/dataset/{run['stderrPath'].replace('/', '%2F')}") for run in (ended, failed)]
    assert [log.status_code for log in logs] == [200, 200]


def eventually(read: Callable[[], dict[str, Any]], name: str, value: str) -> dict[str, Any]:
    """What is read once the field has the value."""
    for _ in range(2000):
        found = read()
        if found[name] == value:
            return found
    raise AssertionError(f"{name} is {found[name]!r}, not {value!r}")


FAULTS = """
import json, os, requests, pandas, hopsworks
url = f"https://{os.environ['HOPSWORKS_HOST']}:{os.environ['HOPSWORKS_PORT']}/_emulator/knobs"
turn = lambda **knobs: requests.put(url, json=knobs, verify=False).raise_for_status()
fault = lambda **fault: requests.post(url, json=fault, verify=False).raise_for_status()
def error(call):
    try:
        call()
    except Exception as exc:
        return type(exc).__name__
seen = {}
store = hopsworks.login(engine="python").get_feature_store()
frame = pandas.DataFrame({"id": [1, 2, 3], "at": pandas.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]), "x": [1.0, 2.0, 3.0]})
group = store.get_or_create_feature_group("faulty", 1, primary_key=["id"], event_time="at", online_enabled=True, time_travel_format="HUDI")
turn(job_delay=30.0)
group.insert(frame, write_options={"wait_for_job": False})
seen["before the job"] = len(group.read())
requests.delete(url, verify=False)
fault(kind="fail", where="job faulty_*")
group = store.get_or_create_feature_group("failing", 1, primary_key=["id"], event_time="at", online_enabled=True, time_travel_format="HUDI")
fault(kind="fail", where="job failing_*")
seen["failed job"] = error(lambda: group.insert(frame, wait=True))
fault(kind="status", where="rest PUT *query", status=503)
seen["unavailable"] = error(group.read)
fault(kind="status", where="rest GET *expectationsuite", status=403)
seen["forbidden"] = error(lambda: group.insert(frame))
turn(flight_down=True)
seen["flight down"] = error(group.read)
print("SEEN " + json.dumps(seen))
"""


def test_the_client_meets_the_faults(api: Api, hopsworks_script: Callable[[str], str]) -> None:
    """The real client sees what the knobs say: rows wait for a delayed job, a failed job and refusals raise."""
    printed = hopsworks_script(FAULTS)
    found = json.loads(printed.rsplit("SEEN ", 1)[1])

    assert found.pop("before the job") == 0
    assert found["failed job"] == "JobExecutionException"
    assert (found["unavailable"], found["forbidden"]) == ("RestAPIError", "RestAPIError")
    assert found["flight down"] is not None


def test_command_prints_the_environment(tmp_path: Path) -> None:
    """The command starts an emulator, prints and writes what to set, and ends with 0 when told to."""
    line = [
        "hopsworks-emulator",
        "--host",
        free_address(),
        "--project",
        "other",
        "--fault",
        "status@rest GET /project*2",
    ]
    code = "from btcfs_hopsworks.emulator.process import command; command()"
    started = subprocess.Popen(
        [sys.executable, "-c", code, *line[1:], "--json", "--env-file", str(tmp_path / "env")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    try:
        text = ""
        while not text.endswith("\n}\n"):
            text += started.stdout.readline()
        found = json.loads(text)
        with httpx.Client(verify=ssl.create_default_context(cafile=found["ca_certificate"])) as http:
            knobs = http.get(f"{found['url']}/_emulator/knobs").json()
    finally:
        started.terminate()
        ended = started.wait(timeout=30)

    assert ended == 0
    assert found["environment"]["HOPSWORKS_PROJECT"] == "other"
    assert f"export HOPSWORKS_HOST='{line[2]}'" in (tmp_path / "env").read_text()
    assert (knobs["faults"][0]["kind"], knobs["faults"][0]["times"]) == ("status", 2)


def test_command_refuses_nonsense(tmp_path: Path) -> None:
    """An unknown knob is one message that names it and those there are, and exit code 2."""
    code = "from btcfs.cli import main; main()"
    knob = run_command([sys.executable, "-c", code, "hopsworks-emulator", "--knob", "speed=1"], tmp_path, None)

    assert knob.returncode == 2
    assert "speed" in knob.stderr
    assert "job_delay" in knob.stderr
