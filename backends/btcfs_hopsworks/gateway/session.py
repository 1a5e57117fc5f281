"""The one connection that the Hopsworks client allows a process, shared by every store of the same project."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from btcfs.errors import ConfigError, StoreUnavailable
from btcfs_hopsworks.address import Address
from btcfs_hopsworks.deadline import Workers
from btcfs_hopsworks.gateway.failures import ours
from btcfs_hopsworks.gateway.quiet import Silence, imported

Result = TypeVar("Result")

LOWEST, ABOVE = (5, 2), (6, 0)

# The client keeps its connection in a module variable of its own, so what is open is a fact of the process.
_lock = threading.Lock()
_open: list[Session] = []


class Session:
    """A login. ``store`` and ``project`` are the client's own objects, ``shared`` is what the stores on it share."""

    def __init__(self, address: Address, meters: tuple[Any, ...]) -> None:
        self.address = address
        self.meters = meters
        self.shared: dict[str, Any] = {}
        self.users = 0
        self.pid = os.getpid()
        self._silence = Silence()
        self._workers = Workers(self._silence.add)
        self._certificates: str | None = None
        self._hopsworks = _client_package()
        self.project, self.store, self._client = self._login()

    def call(
        self,
        what: str,
        function: Callable[[], Result],
        seconds: float | None = None,
        *,
        essential: bool = True,
        quiet: bool = False,
    ) -> Result:
        """What the function returns, in our errors, by a deadline (default: the address's timeout).

        ``quiet`` drops what the function prints. A call that is not essential is held back near the
        end of the month's budget.
        """
        self._still_ours()
        for meter in self.meters:
            meter.check(essential)
        seconds = self.address.timeout if seconds is None else seconds
        try:
            if not quiet:
                return self._workers.call(what, seconds, function)
            with self._silence.entered():
                return self._workers.call(what, seconds, function)
        except Exception as exc:
            error = ours(what, exc)
            if error is exc:
                raise
            raise error from exc

    def record(self, sent: int = 0, received: int = 0) -> None:
        """Count bytes that go beside REST: rows to Kafka, answers of the Query Service."""
        for meter in self.meters:
            meter.record(0, sent, received)

    def url(self) -> str:
        """The project's page."""
        return str(self.project.get_url())

    def close(self) -> None:
        """Log out; what hangs is left behind."""
        if self.pid != os.getpid():
            return
        try:
            if self.connected():
                with self._silence.entered():
                    self._workers.call("logout", 10.0, self._hopsworks.logout)
        except StoreUnavailable:
            pass  # The threads are daemons, and the certificates go below.
        finally:
            self._workers.close()
            self._forget_certificates()
            for meter in self.meters:
                meter.close()

    def _login(self) -> tuple[Any, Any, Any]:
        address = self.address
        folder = address.cert_folder
        if folder is None:
            # By default the client's folder is shared by all processes, and the first to log out empties it.
            folder = self._certificates = tempfile.mkdtemp(prefix="btcfs-hopsworks-")

        def login() -> tuple[Any, Any, Any]:
            project = self._hopsworks.login(
                host=address.host,
                port=address.port,
                project=address.project,
                api_key_value=address.api_key,
                hostname_verification=address.hostname_verification,
                trust_store_path=address.trust_store_path,
                cert_folder=folder,
                engine="python",
            )
            client = _client()
            self._measure(client)
            return project, project.get_feature_store(), client

        try:
            with self._silence.entered():
                return self._workers.call(f"login to {address.title}", address.timeout, login)
        except Exception as exc:
            self._undo_login()
            if "Could not find project" in str(exc):
                raise self._unknown_project() from exc
            error = ours(f"login to {address.title}", exc)
            if error is exc:
                raise
            raise error from exc

    def _undo_login(self) -> None:
        try:
            with self._silence.entered():
                self._workers.call("logout", 5.0, self._hopsworks.logout)
        except Exception:  # noqa: BLE001 - what failed before is what the caller is told
            pass
        self._workers.close()
        self._forget_certificates()

    def _forget_certificates(self) -> None:
        if self._certificates is not None:
            shutil.rmtree(self._certificates, ignore_errors=True)

    def _measure(self, client: Any) -> None:
        from btcfs_hopsworks.gateway.traffic import Metered

        # The client sets no time limit on its requests and has no hook to count them; its session has both.
        session = getattr(client, "_session", None)
        if session is not None:
            session.mount("https://", Metered(self.meters, self.address.timeout))

    def _unknown_project(self) -> ConfigError:
        names = ", ".join(visible_projects(self.address)) or "none"
        return ConfigError(
            f"no project {self.address.project!r} on {self.address.host}:{self.address.port} that this key can see; it sees: "
            f"{names}. Set project in [backends.hopsworks] or create it in Hopsworks"
        )

    def connected(self) -> bool:
        """Whether the process's connection is still this one."""
        try:
            return _client() is self._client
        except Exception:  # noqa: BLE001 - the client raises a bare Exception when there is no connection
            return False

    def _still_ours(self) -> None:
        if self.pid != os.getpid():
            raise StoreUnavailable(
                f"the connection to {self.address.title} belongs to the parent process; open the store in this one"
            )
        if not self.connected():
            raise StoreUnavailable(
                f"the connection to {self.address.title} is gone: another hopsworks.login() or logout() of this process ended "
                f"it, for the client has one. Open the store again"
            )


def acquire(address: Address, meters: Callable[[], tuple[Any, ...]]) -> Session:
    """The session of that project, logged in if it is not; give it back with ``release``.

    ConfigError if the process has another project open, here or by its own ``hopsworks.login()``.
    """
    with _lock:
        _drop_lost()
        if _open:
            session = _open[0]
            if session.address.place != address.place:
                raise ConfigError(
                    f"this process has {session.address.title} open and the Hopsworks client holds one connection, so "
                    f"{address.title} cannot be opened beside it; close the first store or use another process"
                )
            if session.address.api_key != address.api_key:
                raise ConfigError(f"this process has {address.title} open with another API key; close that store first")
        else:
            _refuse_foreign_login(address)
            session = Session(address, meters())
            _open.append(session)
        session.users += 1
        return session


def release(session: Session) -> None:
    """Give a session back; the last one logs out."""
    with _lock:
        session.users -= 1
        if session.users <= 0 and session in _open:
            _open.remove(session)
            session.close()


def visible_projects(address: Address) -> list[str]:
    """The names of the projects that the key can see, sorted. AuthError for a refused key, StoreUnavailable for silence."""
    import warnings

    import requests

    verify: bool | str = (address.trust_store_path or True) if address.hostname_verification else False
    url = f"https://{address.host}:{address.port}/hopsworks-api/api/project"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            response = requests.get(
                url, headers={"Authorization": f"ApiKey {address.api_key}"}, verify=verify, timeout=(5, 10)
            )
        response.raise_for_status()
        return sorted(str(item["project"]["name"]) for item in response.json())
    except (requests.RequestException, ValueError, KeyError, TypeError) as exc:
        raise ours(f"list of the projects on {address.host}:{address.port}", exc) from exc


def client_version() -> str:
    """The installed client's version. ConfigError if it is missing, too old or too new."""
    try:
        found = version("hopsworks")
    except PackageNotFoundError as exc:
        raise ConfigError("the Hopsworks client is not installed; pip install 'btcfs[hopsworks]'") from exc
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if not LOWEST <= numbers < ABOVE:
        raise ConfigError(
            f"hopsworks {found} is installed, this backend needs at least {LOWEST[0]}.{LOWEST[1]} and less than {ABOVE[0]}; "
            f"pip install 'btcfs[hopsworks]'"
        )
    return found


def _client_package() -> Any:
    client_version()
    try:
        return imported()
    except ImportError as exc:
        raise ConfigError(
            f"the Hopsworks client cannot be imported: {exc}. It needs its extra [python]: pip install 'btcfs[hopsworks]'"
        ) from exc


def _client() -> Any:
    from hopsworks_common import client

    return client._get_instance()


def _drop_lost() -> None:
    """A forked child cannot use its parent's connection, nor anyone one that another login ended: a new one is made."""
    _open[:] = [session for session in _open if session.pid == os.getpid() and session.connected()]


def _refuse_foreign_login(address: Address) -> None:
    # Only a login of this process's own can have loaded the client before us.
    if "hopsworks_common" not in sys.modules:
        return
    try:
        client = _client()
    except Exception:  # noqa: BLE001 - the client raises a bare Exception when there is no connection
        return
    raise ConfigError(
        f"this process is already logged in to project {getattr(client, '_project_name', '?')} by hopsworks.login(), and the "
        f"client holds one connection; call hopsworks.logout() before opening {address.title}"
    )
