"""Opening a Hopsworks project: what is refused, by which error, and what stays of it in the user's process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs import BitcoinFeatureStore, memory
from btcfs.diagnosis import Diagnosis
from btcfs.errors import AuthError, ConfigError, DefinitionError, StoreUnavailable, Unsupported
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks import connect, diagnosis
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from btcfs_hopsworks.testing import run_with_client
from hopsworks_opening import applied, opening
from hopsworks_opening import emulator as emulator
from hopsworks_opening import untouched as untouched


def test_settings_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host, no key, a host with a port in it, an impossible port and REST_ENDPOINT are refused before anything is loaded."""
    with pytest.raises(ConfigError, match="no Hopsworks host"):
        connect(api_key="x")
    with pytest.raises(AuthError, match="HOPSWORKS_API_KEY.*FEATURESTORE"):
        connect(host="h")
    with pytest.raises(ConfigError, match="bare name"):
        connect(host="h:443", api_key="x")
    with pytest.raises(ConfigError, match="65535"):
        connect(host="h", port=70_000, api_key="x")
    with pytest.raises(ConfigError, match="no file"):
        connect(host="h", api_key="x", trust_store_path="nowhere.pem")
    monkeypatch.setenv("REST_ENDPOINT", "https://inside")
    with pytest.raises(ConfigError, match="REST_ENDPOINT"):
        connect(host="h", api_key="x")


def test_the_environment_fills_in(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port, key and project come from HOPSWORKS_* where no argument names them."""
    monkeypatch.setenv("HOPSWORKS_HOST", emulator.host)
    monkeypatch.setenv("HOPSWORKS_PORT", str(emulator.port))
    monkeypatch.setenv("HOPSWORKS_API_KEY", emulator.api_key)
    monkeypatch.setenv("HOPSWORKS_PROJECT", "another")

    with connect(timeout=10.0) as store:
        assert "/p/120" in store.ui_url(applied(store))


def test_the_clients_own_object_is_at_hand(emulator: Emulator) -> None:
    """What btcfs does not offer is asked of the client's feature store itself; a backend without a client says so."""
    with opening(emulator) as store, BitcoinFeatureStore(store=store) as fs:
        group = applied(store)
        assert fs.native.name.startswith("bitcoin_ml_pipeline")
        assert fs.ui_url(fs.group(group.name, group.version)) == store.ui_url(group)
    with BitcoinFeatureStore(store=memory.connect()) as plain, pytest.raises(Unsupported, match="no client of its own"):
        _ = plain.native


def test_a_wrong_key(emulator: Emulator) -> None:
    """A refused key is an AuthError that says where to make another, and the next login is not hindered."""
    with pytest.raises(AuthError, match="refuses the API key"):
        opening(emulator, api_key="wrong")
    opening(emulator).close()


def test_an_unknown_project(emulator: Emulator) -> None:
    """An unknown project is refused with those that the key sees; nothing is made."""
    with pytest.raises(ConfigError, match="another, bitcoin_ml_pipeline"):
        opening(emulator, project="bitcion")
    assert sorted(p.name for p in emulator.state.projects.values()) == ["another", "bitcoin_ml_pipeline"]


def test_nobody_there() -> None:
    """A host that does not answer is StoreUnavailable."""
    with pytest.raises(StoreUnavailable, match="login"):
        connect(host=free_address(), port=9, api_key="x", timeout=3.0)


def test_a_silent_host(emulator: Emulator) -> None:
    """A socket that accepts and says nothing is given up at the deadline."""
    emulator.knobs.add("hang", "rest *", times=None)
    try:
        with pytest.raises(StoreUnavailable, match="login"):
            opening(emulator, timeout=1.0)
    finally:
        emulator.knobs.reset()


def test_one_project_per_process(emulator: Emulator) -> None:
    """A second store of the same project shares the login; one of another project is refused until the first is closed."""
    with opening(emulator) as first, opening(emulator) as second:
        group = applied(first)
        assert group in second.definitions()
        with pytest.raises(ConfigError, match="holds one connection"):
            opening(emulator, project="another")
    with opening(emulator, project="another") as other:
        assert group not in other.definitions()


def test_a_group_made_by_others_is_not_overwritten(emulator: Emulator) -> None:
    """A feature group of the same name and version with another schema is refused, and stays readable as what it is."""
    with opening(emulator) as store:
        group = candle_group("a")
        client = store._shared.session.store
        from hsfs.feature import Feature

        client.create_feature_group(
            name=group.name, version=1, primary_key=["id"], time_travel_format="HUDI", stream=True,
            online_enabled=True, features=[Feature("id", "bigint"), Feature("x", "double")],
        ).save()  # fmt: skip
        with pytest.raises(DefinitionError, match="not made by"):
            store.apply(group)

        assert group not in store.definitions()
        assert [(g.name, g.primary_key) for g in store.other_groups()] == [(group.name, ("id",))]
        assert list(store.read_other(group.name).columns) == ["id", "x"]
        made = client.get_feature_group(group.name, 1)
        made.insert(pd.DataFrame({"id": [1, 2], "x": [1.5, 2.5]}), wait=True)
        client.create_feature_view("theirs", version=1, query=made.select_all())
        assert store.read_other(group.name).sort_values("id")["x"].tolist() == [1.5, 2.5]
        assert store.other_vector("theirs", 1, {"id": 2}) == {"id": 2, "x": 2.5}


def test_the_process_stays_as_it_was(emulator: Emulator) -> None:
    """Nothing is printed; the root logger, the look of warnings and the temporary certificates are as before."""
    script = """
import json, logging, os, sys, tempfile, warnings
before = (list(logging.getLogger().handlers), logging.getLogger().level, warnings.formatwarning)
import numpy as np
from btcfs import connect
from btcfs.testing.backends.examples import candle_group, candles, view_of
folder = tempfile.mkdtemp(); os.chdir(folder)
store = connect("hopsworks", timeout=15.0)
group = candle_group(); view = view_of(group)
store.apply(group); store.write(group, candles(group, 3)); store.apply(view)
store.read(group); store.get_online_features(view, [{"symbol": "BTC-USD"}])
usage = store.usage().counts
store.close()
after = (list(logging.getLogger().handlers), logging.getLogger().level, warnings.formatwarning)
counts = json.load(open(".btcfs-hopsworks/quota.json"))
left = [n for n in os.listdir(tempfile.gettempdir()) if n.startswith("btcfs-hopsworks-") and not n.endswith(".lock")]
sys.stderr.write(json.dumps([before == after, usage.calls, list(counts.values())[0]["calls"], len(left)]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={"PATH": "/usr/bin", "TMPDIR": str(Path.cwd()), **emulator.environment()},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    same, calls, written, left = json.loads(done.stderr)
    assert same
    assert 10 < calls <= written < 100
    assert left == 0


def test_nothing_else_loads_the_client() -> None:
    """Neither ``import btcfs``, nor looking at the backends, nor a DuckDB store imports hopsworks."""
    script = """
import sys, tempfile, btcfs
from btcfs.connection import backends
assert "hopsworks" in [info.name for info in backends() if info.loadable]
store = btcfs.connect("duckdb", path=tempfile.mkdtemp() + "/store")
store.definitions(); store.close()
assert not {"hopsworks", "hsfs", "hopsworks_common"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_machine_without_the_client() -> None:
    """Where only btcfs itself is installed, one line says what to install, and the settings are not what it complains of."""
    script = """
import sys
from importlib.metadata import PackageNotFoundError
for name in ("hopsworks", "hopsworks_common", "hsfs", "hsml", "requests", "confluent_kafka", "fastavro", "pymysql"):
    sys.modules[name] = None
from btcfs_hopsworks.gateway import session
def version(name):
    raise PackageNotFoundError(name)
session.version = version
from btcfs.cli import main
main(["--backend", "hopsworks", "verify"])
"""
    environment = {**os.environ, "BTCFS_HOPSWORKS_HOST": "h.example", "BTCFS_HOPSWORKS_API_KEY": "a key"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)

    assert done.stderr == "btcfs: the Hopsworks client is not installed; pip install 'btcfs[hopsworks]'\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_the_variables_that_errors_name(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """Whoever sets the variables that the errors on a missing host and key name is connected."""
    from btcfs import connect

    given = {"HOST": emulator.host, "API_KEY": emulator.api_key}
    for option, value in given.items():
        with pytest.raises((ConfigError, AuthError)) as error:
            connect("hopsworks", port=emulator.port)
        [named] = re.findall(rf"BTCFS_\w+_{option}", str(error.value))
        monkeypatch.setenv(named, value)
    with connect("hopsworks", port=emulator.port) as store:
        assert store.ui_url(applied(store))


def test_a_login_of_the_users_own(emulator: Emulator) -> None:
    """A process that is logged in by itself is told so, and keeps its login."""
    printed = run_with_client(emulator, """
import hopsworks
project = hopsworks.login()
from btcfs import connect
from btcfs.errors import ConfigError
try:
    connect("hopsworks")
except ConfigError as exc:
    print(exc)
print(project.get_feature_store().name)
""")  # fmt: skip

    assert "already logged in" in printed
    assert "bitcoin_ml_pipeline_featurestore" in printed


def test_what_the_doctor_says(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cause has a check of its own that fails with what to do, and all is well on a running project."""
    good = {"host": emulator.host, "port": emulator.port, "api_key": emulator.api_key}

    def failed(**changes: object) -> list[str]:
        return [d.name for d in _diagnosed({**good, **changes}) if d.passed is False]

    assert failed() == []
    assert failed(api_key=None) == ["hopsworks_key"]
    assert failed(api_key="wrong") == ["hopsworks_key"]
    assert failed(project="nowhere") == ["hopsworks_project"]
    assert failed(port=9) == ["hopsworks_host"]
    assert failed(host=None) == ["hopsworks_settings"]
    assert all(d.remedy for d in _diagnosed({**good, "api_key": "wrong"}) if d.passed is False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert "hopsworks_proxy" in [d.name for d in _diagnosed({**good, "port": 9}) if d.passed is None]


def test_a_fifty_thousandth_call_waits(emulator: Emulator) -> None:
    """Near the end of the month's budget statistics are held back, rows and vectors are not."""
    with opening(emulator, monthly_calls=1) as store:
        group = applied(store)
        store.write(group, candles(group, 2))

        assert len(store.read(group)) == 2
        with pytest.raises(StoreUnavailable, match="budget"):
            store.compute_statistics(group)


def test_vectors_cost_no_call(emulator: Emulator) -> None:
    """Once a view is served, a prediction a minute is no call at all, and opening is a fraction of the budget's 2 %."""
    with opening(emulator) as store:
        group = applied(store)
        view = view_of(group)
        store.write(group, candles(group, 3))
        store.apply(view)
        store.get_online_features(view, [{"symbol": "BTC-USD"}])
        before = store.usage().counts.calls
        for _ in range(60):
            store.get_online_features(view, [{"symbol": "BTC-USD"}])
            store.change_token(view.groups)

        assert store.usage().counts.calls == before
        assert before < 0.02 * store.usage().budget.calls


def _diagnosed(options: dict[str, object]) -> list[Diagnosis]:
    return list(diagnosis.diagnoses(options))
