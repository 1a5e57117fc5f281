"""What can be made to go wrong in the emulator, over HTTP, with the real client and from the command line."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs_hopsworks.emulator.loopback import free_address
from distributions import command as run_command
from hopsworks_api import Api

pytest_plugins = ["btcfs_hopsworks.testing", "hopsworks_api"]


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
    until = time.monotonic() + 20.0
    while (found := read())[name] != value:
        assert time.monotonic() < until, f"{name} is {found[name]!r}, not {value!r}"
    return found


FAULTS = """
import json, os, requests, pandas, hopsworks
url = f"https://{os.environ['HOPSWORKS_HOST']}:{os.environ['HOPSWORKS_PORT']}/_emulator/knobs"
turn = lambda **knobs: requests.put(url, json=knobs, verify=False).raise_for_status()
fault = lambda **fault: requests.post(url, json=fault, verify=False).raise_for_status()
def error(call):
    try:
        call()
    except Exception as exc:  # which one the client raises is what is asked
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
