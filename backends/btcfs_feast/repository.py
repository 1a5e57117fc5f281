"""A Feast repository, opened: its stores as Feast offers them, and their errors as ours."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from btcfs import durable
from btcfs.errors import BtcfsError, ConfigError, StoreUnavailable

Result = TypeVar("Result")

CONFIG = "feature_store.yaml"
_SCHEMA = "1"
_LOCAL = """# A local Feast repository: history in Parquet files, vectors in SQLite. Change it as Feast's documentation says.
project: {project}
provider: local
registry:
  path: data/registry.db
offline_store:
  type: dask
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""
# What is raised by these is a mistake in what was asked, and no store that fails.
_NOT_A_STORE = {"builtins", "btcfs", "feast", "pandas", "numpy", "pyarrow", "pydantic", "pydantic_core", "typeguard"}


@attrs.define(eq=False)
class Repository:
    """The ``feast.FeatureStore`` of a folder, and how long to wait for what it talks to."""

    root: Path
    feast: Any
    timeout: float
    closing: list[Callable[[], None]] = attrs.field(factory=list)
    _one_at_a_time: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def project(self) -> str:
        return str(self.feast.project)

    @property
    def offline_type(self) -> str:
        return str(self.feast.config.offline_store.type)

    @property
    def has_online(self) -> bool:
        return self.feast.config.online_store is not None

    def close(self) -> None:
        """Let go of every connection; Feast has no call for it but closes them with its objects."""
        for close in self.closing:
            close()
        self.closing.clear()
        self.feast = None

    def online(self) -> contextlib.AbstractContextManager[Any]:
        """A block in which the online store may be called."""
        # Feast's SQLite store and, unless told otherwise, its Postgres store share one connection between threads
        # (``SqliteOnlineStore._get_conn``, ``PostgreSQLOnlineStore._get_conn``); the driver then fails in whichever
        # comes second: psycopg always, sqlite3 of Python 3.12 with "bad parameter or other API misuse" now and then.
        store = self.feast.config.online_store
        kind = getattr(store, "conn_type", None)
        shared = store.type == "sqlite" or getattr(kind, "value", kind) == "singleton"
        return self._one_at_a_time if shared else contextlib.nullcontext()

    def applied(self, objects: Sequence[Any], *, deleted: Sequence[Any] = ()) -> None:
        """Feast's ``apply``, which changes the registry and then the online store, either of which may be silent."""

        def call() -> None:
            with self.online():
                self.feast.apply(list(objects), objects_to_delete=list(deleted), partial=not deleted)

        # Feast reads a SQL registry whole after each change, and that may take longer than an answer does.
        self.asked("registry or the online store", call, patience=6)

    def asked(self, what: str, call: Callable[[], Result], *, patience: int = 1) -> Result:
        """The answer of a store that may not answer at all. StoreUnavailable if it takes longer than ``patience`` times
        the timeout."""
        answer: list[Result] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                answer.append(call())
            except BaseException as exc:  # noqa: BLE001 it is raised again in the thread that waits
                failure.append(exc)

        # A daemon, for a client that waits for a dead host may wait for minutes and must not hold up the exit.
        thread = threading.Thread(target=run, name="btcfs-feast", daemon=True)
        thread.start()
        thread.join(self.timeout * patience)
        if thread.is_alive():
            raise StoreUnavailable(
                f"the {what} of the Feast repository {self.root} did not answer within "
                f"{self.timeout * patience:.3g} s; "
                f"see its address in {self.root / CONFIG}, or wait longer with timeout="
            )
        if failure:
            with self.translated(what):
                raise failure[0]
        return answer[0]

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """The errors of a store's client as ours."""
        try:
            yield
        except BtcfsError:
            raise
        except Exception as exc:  # the stores' clients have errors of their own, many and without a common kind
            if not _of_a_store(exc):
                raise
            raise StoreUnavailable(
                f"the {what} of the Feast repository {self.root} cannot be used: {type(exc).__name__}: {_masked(exc)}; "
                f"see its address and credentials in {self.root / CONFIG}"
            ) from exc


def open_repository(path: Path, *, create: bool, timeout: float) -> Repository:
    """The repository in that folder, made there first if ``create`` says so and there is none.

    ConfigError if there is none, or none that the installed Feast understands; StoreUnavailable if its
    registry does not answer.
    """
    root = path.absolute()
    if not (root / CONFIG).is_file():
        if not create:
            raise ConfigError(
                f"there is no {CONFIG} in {root}; name the folder of a Feast repository with the option path, or have a "
                f"local one made with the option create=True: both stand under [backends.feast] in btcfs.toml, or are "
                f"given as in btcfs.connect('feast', path={str(path)!r}, create=True)"
            )
        _create(root)
    try:
        from feast import FeatureStore
    except ImportError as exc:
        raise ConfigError(f"the feast backend needs Feast: {exc}. Install it: pip install 'btcfs[feast]'") from exc
    # Feast prints what it finds odd in a configuration; a library does not.
    try:
        with contextlib.redirect_stdout(None):
            store = FeatureStore(repo_path=str(root))
    except Exception as exc:  # Feast lets through what its parser, its registry and their clients raise
        if isinstance(exc, OSError) or (_of_a_store(exc) and not _of_feast(exc)):
            raise StoreUnavailable(f"the Feast repository {root} cannot be opened: {_masked(exc)}") from exc
        raise ConfigError(
            f"Feast cannot use {root / CONFIG}: {type(exc).__name__}: {_masked(exc)}. The file must suit the installed "
            f"version of Feast; feast version shows it"
        ) from exc
    keys = store.config.entity_key_serialization_version
    if keys != 3:
        raise _of_another_version(root, f"its entity keys have the format {keys}, expected 3")
    repository = Repository(root, store, timeout)
    repository.asked("registry", lambda: _opened(repository))
    return repository


def _opened(repository: Repository) -> None:
    feast, root = repository.feast, repository.root
    try:
        written = feast.registry.proto().registry_schema_version
        feast.registry.list_feature_views(repository.project, allow_cache=False)
        _ = feast.provider
    except Exception as exc:  # as above; what is neither Feast's nor of its reading is raised as it is
        if not _of_feast(exc) and not isinstance(exc, (ValueError, ImportError, AttributeError, TypeError)):
            raise
        raise ConfigError(
            f"the installed Feast cannot use the repository {repository.root}: {type(exc).__name__}: {_masked(exc)}. "
            f"It may be of another version, or need an extra such as feast[redis] or feast[postgres]"
        ) from exc
    if written not in ("", _SCHEMA):
        raise _of_another_version(root, f"its registry has the format {written!r}, expected {_SCHEMA!r}")


def _of_another_version(root: Path, what: str) -> ConfigError:
    return ConfigError(
        f"the repository {root} is of another version of Feast: {what}. Bring it up to date with the Feast that wrote it"
    )


def _create(root: Path) -> None:
    name = re.sub(r"[^a-z0-9_]", "_", root.name.lower()).strip("_")[:24] or "btcfs"
    try:
        (root / "data").mkdir(parents=True, exist_ok=True)
        content = _LOCAL.format(project=name if name[0].isalpha() else f"p_{name}")
        durable.replace(root / CONFIG, content.encode())
    except OSError as exc:
        raise StoreUnavailable(f"cannot create a Feast repository in {root}: {exc}") from exc


def _of_a_store(exc: Exception) -> bool:
    """Whether the client of a store, or the system, raised it, and not Python or Feast because of what was asked."""
    return isinstance(exc, (OSError, TimeoutError)) or type(exc).__module__.partition(".")[0] not in _NOT_A_STORE


def _of_feast(exc: Exception) -> bool:
    return type(exc).__module__.partition(".")[0] in ("feast", "pydantic", "pydantic_core", "yaml", "google")


def _masked(exc: Exception) -> str:
    """What the error says, in one line and without the password of a connection string in it."""
    text = re.sub(r"(://[^:@/\s]*:)[^@\s]*@", r"\1***@", " ".join(str(exc).split()).rstrip("."))
    return re.sub(r"(password\s*=\s*)[^\s,]+", r"\1***", text, flags=re.IGNORECASE)
