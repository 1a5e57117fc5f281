"""What users and their machines get wrong about Hopsworks: a clear error each, and nothing half made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import AuthError, DefinitionError, StoreUnavailable
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks import diagnosis
from btcfs_hopsworks.emulator.application import Emulator
from hopsworks_opening import applied, opening
from hopsworks_opening import emulator as emulator
from hopsworks_opening import untouched as untouched

OPEN = """
import sys
from btcfs import connect
from btcfs.errors import ConfigError
try:
    connect("hopsworks", host="127.0.0.1", port=9, api_key="x")
except ConfigError as exc:
    print(exc)
print(sorted({"hopsworks", "hsfs", "hopsworks_common"} & set(sys.modules)))
"""


@pytest.mark.parametrize("version", ["3.7.9", "5.1.4", "6.0.0"])
def test_a_client_that_is_too_old_or_too_new(tmp_path: Path, version: str) -> None:
    """Another release of the client is refused by its number, before it is imported, with the command that mends it."""
    folder = tmp_path / f"hopsworks-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hopsworks\nVersion: {version}\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"hopsworks {version} is installed" in done.stdout
    assert "at least 5.2 and less than 6" in done.stdout
    assert "pip install 'btcfs[hopsworks]'" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_proxy_in_the_way(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment that does not answer is named with its remedy, which works; doctor says the same."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.9:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreUnavailable, match=r"HTTPS_PROXY.*NO_PROXY"):
        opening(emulator)
    options = {"host": emulator.host, "port": emulator.port, "api_key": emulator.api_key}
    found = {d.name: d for d in diagnosis.diagnoses(options)}
    assert found["hopsworks_rest"].passed is False
    assert "NO_PROXY" in found["hopsworks_proxy"].remedy

    monkeypatch.setenv("NO_PROXY", emulator.host)
    with opening(emulator) as store:
        assert store.name == "hopsworks"
    assert {d.name: d.passed for d in diagnosis.diagnoses(options)}["hopsworks_proxy"] is True


@pytest.mark.parametrize("name", ["Candles", "daily candles", "daily-candles", "1st_candles", "_candles", "c" * 64])
def test_a_name_that_hopsworks_would_rewrite_or_refuse(emulator: Emulator, name: str) -> None:
    """Groups, views and features of such names are refused before anything reaches the cluster."""
    with opening(emulator) as store:
        group = applied(store)
        before = emulator.state.groups.copy()
        with pytest.raises(DefinitionError):
            store.apply(FeatureGroup(name, 1, [Feature("a")], ("symbol", "timestamp")))
        with pytest.raises(DefinitionError):
            store.apply(FeatureView(name, 1, [group.ref], ("a",)))
        with pytest.raises(DefinitionError):
            store.apply(candle_group(name))

        assert emulator.state.groups == before
        assert group in store.definitions()


def test_a_view_made_by_others_is_not_overwritten(emulator: Emulator) -> None:
    """A Hopsworks view of the same name and version is refused, stays as it is, and no part of ours is left."""
    with opening(emulator) as store:
        first, second = applied(store), applied(store)
        client = store._shared.session.store
        view = FeatureView(f"{first.name}_view", 1, [first.ref, second.ref], ("a",))
        other = view_of(first)
        made = client.get_feature_group(first.name, 1)
        client.create_feature_view(other.name, version=1, query=made.select(["a"]), description="theirs")
        before = {v.name for v in emulator.state.views.values()}
        with pytest.raises(DefinitionError, match="not made by btcfs"):
            store.apply(other)
        with pytest.raises(DefinitionError):
            store.apply(view)  # two groups have its feature

        assert {v.name for v in emulator.state.views.values()} == before
        assert client.get_feature_view(other.name, 1).description == "theirs"
        assert [d for d in store.definitions() if isinstance(d, FeatureView)] == []


def test_a_key_without_a_scope(emulator: Emulator) -> None:
    """A 403 names the scopes that the key needs, and a definition that was refused by it is not there afterwards."""
    with opening(emulator) as store:
        group = candle_group("a")
        emulator.knobs.add("status", "rest POST *featuregroups*", times=None, status=403, code=320004)
        try:
            with pytest.raises(AuthError, match="FEATURESTORE"):
                store.apply(group)
        finally:
            emulator.knobs.reset()

        assert group not in store.definitions()
        store.apply(group)
        assert store.write(group, candles(group, 2)).inserted == 2
