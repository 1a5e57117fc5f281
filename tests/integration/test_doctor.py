"""btcfs doctor finds what is wrong, says what to do, and finds nothing where nothing is; btcfs init makes a folder ready."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from btcfs import memory
from btcfs.bitcoin.prediction import FeatureStorePredictor
from btcfs.cli import main
from btcfs.config import load
from btcfs.connection import connect
from btcfs.diagnosis import contents, environment
from btcfs.diagnosis.backend import own
from btcfs.errors import ConfigError
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.instants import now
from btcfs.testing.backends.examples import candle_group, candles, put, view_of
from outages import Outage


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command in an empty folder, without the settings of whoever runs the tests."""
    import os

    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("BTCFS_", "HOPSWORKS_", "USE_FEATURE"))]:
        monkeypatch.delenv(name)

    def invoked(*words: str, code: int = 0, text: str | None = None, **variables: str) -> Any:
        done = CliRunner().invoke(main, list(words), env=variables, input=text)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in words else done.output

    return invoked


def verdicts(value: Any) -> dict[str, Any]:
    return {check["name"]: check["passed"] for check in value["checks"]}


def test_each_fault_has_a_remedy(run: Callable[..., Any]) -> None:
    """In an empty folder the one fault is that nothing is ingested, and every check that does not pass says what next."""
    value = run("doctor", "--json", code=1)

    assert value["ok"] is False
    assert {name for name, passed in verdicts(value).items() if passed is False} == {"group"}
    assert [check for check in value["checks"] if check["passed"] is not True and not check["remedy"]] == []
    names = {"python", "packages", "env_file", "proxies", "disk", "settings", "backend", "key", "connection", "clock"}
    assert names | {"model", "lookup", "use_feature_store", "plugins"} <= set(verdicts(value))
    assert "btcfs ingest historical" in run("doctor", code=1)


def test_a_healthy_folder_passes(run: Callable[..., Any]) -> None:
    """After an ingest and its views nothing fails."""
    run("ingest", "historical", "--days", "30", "--source", "sample")
    run("ingest", "create-view")
    value = run("doctor", "--json")

    assert value["ok"] is True
    passed = verdicts(value)
    assert [name for name in ("group", "view", "rows", "freshness", "lookup", "clock") if passed[name] is False] == []
    assert (passed["group"], passed["view"], passed["rows"]) == (True, True, True)


def test_settings_and_backends_are_checked_first(run: Callable[..., Any], tmp_path: Path) -> None:
    """A wrong setting or an unknown backend ends the checks with its remedy."""
    value = run("doctor", "--json", code=1, BTCFS_SYMBOLL="x")
    assert value["checks"][-1]["name"] == "settings"
    assert "did you mean symbol" in value["checks"][-1]["message"]
    value = run("--backend", "duckbd", "doctor", "--json", code=1)
    assert value["checks"][-1]["name"] == "backend"
    assert "did you mean duckdb" in value["checks"][-1]["message"]
    (tmp_path / "taken").write_text("no folder")
    value = run("doctor", "--json", code=1, BTCFS_DUCKDB_PATH="taken")
    assert verdicts(value)["connection"] is False


def test_a_secret_file_is_for_its_owner(run: Callable[..., Any], tmp_path: Path) -> None:
    """A .env that others read, or that git would take, is a fault."""
    env = tmp_path / ".env"
    env.write_text("BTCFS_SYMBOL=ETH-USD\n")
    env.chmod(0o644)
    assert verdicts(run("doctor", "--json", code=1))["env_file"] is False
    env.chmod(0o600)
    (tmp_path / ".git").mkdir()
    value = run("doctor", "--json", code=1)
    assert verdicts(value)["env_file"] is False
    assert ".gitignore" in next(c["message"] for c in value["checks"] if c["name"] == "env_file")
    run("init")
    assert verdicts(run("doctor", "--json", code=1))["env_file"] is True


def test_proxies_are_shown_without_their_password(run: Callable[..., Any]) -> None:
    """A proxy is worth a look; what it is entered with is not shown."""
    value = run("doctor", "--json", code=1, HTTPS_PROXY="http://me:secret@proxy:8080")
    [found] = [check for check in value["checks"] if check["name"] == "proxies"]
    assert found["passed"] is None
    assert "proxy:8080" in found["message"]
    assert "secret" not in json.dumps(value)


def test_a_missing_key_is_named_and_never_shown() -> None:
    """A backend that takes a key has to have one, from the settings or from its own variable."""
    config = attrs.evolve(load(environ={}), backend="remote", backends={"remote": {"host": "h"}})
    missing = environment.key(config, ["host", "api_key"], {})
    assert missing.passed is False
    assert "REMOTE_API_KEY" in missing.remedy
    for there in (
        environment.key(config, ["api_key"], {"REMOTE_API_KEY": "hush"}),
        environment.key(attrs.evolve(config, backends={"remote": {"api_key": "hush"}}), ["api_key"], {}),
    ):
        assert there.passed is True
        assert "hush" not in str(there)


def test_the_clock_is_not_behind_what_is_stored() -> None:
    """A row that was known later than now means a wrong clock."""
    store = memory.connect()
    put(store, candle_group("a"), candles(candle_group("a"), 3))
    group = candle_group("a", name="market")
    put(store, group, candles(group, 3))
    assert contents.clock(store, now()).passed is True
    assert contents.clock(store, candles(group, 1)["timestamp"][0].to_pydatetime()).passed is False


def test_the_mirror_the_journal_and_the_circuits_are_shown(tmp_path: Path) -> None:
    """An outage shows in each of them, and is over when it is over."""
    primary = Outage(memory.connect())
    group = candle_group("a", name="market")
    view = view_of(group)
    with FallbackStore(primary, memory.connect(), tmp_path, breaker=lambda: Breaker(1, 60.0)) as store:
        put(store, group, candles(group, 2))
        store.apply(view)
        assert {d.name: d.passed for d in contents.mirror(store)} == {"journal": True, "circuit": True, "mirror": True}
        primary.mode = "down"
        store.write(group, candles(group, 3))
        found = {d.name: d for d in contents.mirror(store)}
        assert (found["journal"].passed, found["circuit"].passed) == (False, False)
        assert "btcfs store sync" in found["journal"].remedy
        lookup = contents.lookup(store, "BTC-USD")
        assert lookup.passed is False
        assert "mirror" in lookup.message
        primary.heal()
        store.sync()
        while contents.lookup(store, "BTC-USD").passed is False:
            pass  # the first call after the outage tries, the next finds the circuit closed
        assert {d.name: d.passed for d in contents.mirror(store)} == {"journal": True, "circuit": True, "mirror": True}
        primary.store.write(group, candles(group, 5))
        assert {d.name: d.passed for d in contents.mirror(store)}["mirror"] is None


@pytest.mark.parametrize(
    ("share", "forecast", "passed"), [(0.1, 0.5, True), (0.1, 1.2, None), (0.85, 0.9, None), (0.96, 1.0, False)]
)
def test_the_budget_is_shown(share: float, forecast: float, passed: bool | None) -> None:
    """A budget that is nearly used up, or will be, is worth a look; one that holds calls back is a fault."""

    @attrs.frozen
    class Counts:
        calls: int = 7

    @attrs.frozen
    class Used:
        share: float
        forecast_share: float
        month: str = "2024-04"
        counts: Counts = Counts()
        budget: Counts = Counts()

    class Metered:
        def usage(self) -> Used:
            return Used(share, forecast)

    [found] = contents.budget(Metered())
    assert found.passed is passed
    assert list(contents.budget(memory.connect())) == []


def test_a_backend_without_checks_of_its_own_has_none() -> None:
    """The entry-point group is asked by the backend's name."""
    assert list(own("memory", {})) == []


class TestInit:
    def test_done_again_it_changes_nothing(self, run: Callable[..., Any], tmp_path: Path) -> None:
        """The second run writes nothing, and what a person wrote stays."""
        (tmp_path / ".gitignore").write_text("*.pyc")
        assert run("init", "--set", "BTCFS_SYMBOL=ETH-USD", "--json")["written"] == [".env", "btcfs.toml", ".gitignore"]
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert run("init", "--set", "BTCFS_SYMBOL=ETH-USD", "--json")["written"] == []
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
        assert (tmp_path / ".gitignore").read_text() == "*.pyc\n.env\n"
        assert load(environ={}, cwd=tmp_path).symbol == "ETH-USD"

    def test_a_variable_is_replaced_and_the_rest_stays(self, run: Callable[..., Any], tmp_path: Path) -> None:
        """A name stands once; comments and other lines are kept; the file is for its owner alone."""
        env = tmp_path / ".env"
        env.write_text("# mine\nOTHER=1\nexport BTCFS_SYMBOL=old\n")
        run("init", "--set", "BTCFS_SYMBOL=ETH-USD")
        assert env.read_text() == "# mine\nOTHER=1\nBTCFS_SYMBOL='ETH-USD'\n"
        assert stat.S_IMODE(env.stat().st_mode) == 0o600

    def test_a_secret_is_asked_for(self, run: Callable[..., Any], tmp_path: Path) -> None:
        """The value comes from the input and is not printed."""
        output = run("init", "--secret", "BTCFS_DUCKDB_API_KEY", text="hush\n")
        assert "hush" not in output
        assert load(environ={}, cwd=tmp_path).backends["duckdb"]["api_key"] == "hush"

    @pytest.mark.parametrize(
        "words", [("--set", "NOVALUE"), ("--set", "1X=2"), ("--set", "X=a'b"), ("--secret", "a b")]
    )
    def test_nonsense_is_refused(self, run: Callable[..., Any], tmp_path: Path, words: tuple[str, str]) -> None:
        """A name or value that .env cannot hold is a mistake, and nothing is written."""
        run("init", *words, code=2)
        assert not (tmp_path / ".env").exists()


def test_use_feature_store_is_read_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yes and no in their usual forms; an argument goes before; anything else is an error."""
    for text, expected in {"1": True, "Yes": True, "ON": True, "false": False, "0": False, "": True}.items():
        monkeypatch.setenv("USE_FEATURE_STORE", text)
        assert FeatureStorePredictor().use_feature_store is expected
        assert FeatureStorePredictor(False).use_feature_store is False
    monkeypatch.setenv("USE_FEATURE_STORE", "maybe")
    with pytest.raises(ConfigError, match="USE_FEATURE_STORE is 'maybe'"):
        FeatureStorePredictor()


class TestSettings:
    def test_the_setting_gives_the_store_a_mirror(self, run: Callable[..., Any], tmp_path: Path) -> None:
        """With fallback set, the configured store is a pair with its options; a backend of an argument is alone."""
        (tmp_path / "btcfs.toml").write_text('backend = "memory"\nfallback = "duckdb"\n')
        with connect() as store:
            assert isinstance(store, FallbackStore)
            assert (store.name, store.mirror.name) == ("memory", "duckdb")
        with connect(config=load(backend="duckdb")) as alone:
            assert alone.name == "duckdb"
        (tmp_path / "btcfs.toml").write_text('backend = "memory"\n[fallback]\nname = "duckdb"\ndeadline = "0.25"\n')
        with connect(config=load(environ={"BTCFS_FALLBACK_HEDGE": "0.1"})) as store:
            assert isinstance(store, FallbackStore)
            assert (store.primary.deadlines.vectors, store.primary.deadlines.hedge) == (0.25, 0.1)
        with pytest.raises(ConfigError, match="did you mean deadline"):
            connect(config=load(fallback_options={"deadlin": 1}))
        with pytest.raises(ConfigError, match="expected more than 0"):
            connect(config=load(fallback_options={"deadline": -1}))

    def test_sync_shows_and_completes(self, run: Callable[..., Any], tmp_path: Path) -> None:
        """The command lists what waits, completes it, and says with its exit code whether something is left."""
        assert "no mirror" in run("store", "sync", code=2)
        (tmp_path / "btcfs.toml").write_text(
            'backend = "duckdb"\nfallback = "memory"\n[backends.duckdb]\npath = "primary"\n'
        )
        config = load()
        group = candle_group("a", name="market")
        with connect(config=config) as store:
            assert isinstance(store, FallbackStore)
            put(store, group, candles(group, 2))
            entry = store.journal.write(group, candles(group, 3), store._sides.commit_after())
            store.journal.change(entry, state="primary", why="no route")
        value = run("store", "sync", "--dry-run", "--json")
        assert [(e["state"], e["rows"], e["why"]) for e in value["entries"]] == [("primary", 3, "no route")]
        assert "no route" in run("store", "sync", "--dry-run")
        value = run("store", "sync", "--json")
        assert (len(value["completed"]), value["waiting"], value["refused"]) == (1, [], [])
        assert "completed 0 entries" in run("store", "sync")
        with connect("duckdb", path="primary") as alone:
            assert alone.summary(group).rows == 3

    def test_a_vendors_variables_in_env_are_read(self, tmp_path: Path) -> None:
        """HOPSWORKS_API_KEY of a .env is the backend's key unless the environment has one, where that backend is installed."""
        from btcfs.settings import from_dotenv

        env = tmp_path / ".env"
        env.write_text("HOPSWORKS_API_KEY=hush\nHOPSWORKS_OTHER=1\n")
        env.chmod(0o600)
        found = from_dotenv(env, ["hopsworks"], {})
        assert {name: entry.value for name, entry in found.items()} == {"backends.hopsworks.api_key": "hush"}
        assert from_dotenv(env, ["hopsworks"], {"HOPSWORKS_API_KEY": "mine"}) == {}
        assert from_dotenv(env, ["duckdb"], {}) == {}
