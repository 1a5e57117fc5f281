"""A private MariaDB server, for an emulator that keeps online rows in a real one."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs
import pymysql

from btcfs_hopsworks.emulator import children
from btcfs_hopsworks.emulator.planes import OnlineAddress

USER = "emulator"


@attrs.frozen
class PrivateMariadb:
    """A running server with one account, that of ``address``."""

    address: OnlineAddress
    stop: Callable[[], None]


def installed() -> bool:
    """Whether this machine has the programs."""
    return _server() is not None and shutil.which("mariadb-install-db") is not None


def start(folder: Path, host: str, port: int = 3306) -> PrivateMariadb:
    """A new, empty server that keeps its files in ``folder`` and answers in UTC; port 0 takes any.

    FileNotFoundError if MariaDB is not installed, ChildProcessError if it does not start, OSError if the port is taken.
    """
    server = _server()
    if server is None or not installed():
        raise FileNotFoundError("MariaDB is not installed: apt-get install mariadb-server, or leave its address out")
    with socket.create_server((host, port)) as probe:
        port = probe.getsockname()[1]
    data, password = folder / "data", secrets.token_hex(8)
    account = f"GRANT ALL ON *.* TO '{USER}'@'%' IDENTIFIED BY '{password}' WITH GRANT OPTION;\n"
    (folder / "account.sql").write_text(account)
    _install(data, folder)
    options = [
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={folder / 'mariadb.sock'}",
        f"--pid-file={folder / 'mariadb.pid'}",
        f"--bind-address={host}",
        f"--port={port}",
        f"--init-file={folder / 'account.sql'}",
        "--default-time-zone=+00:00",
        "--character-set-server=utf8mb4",
        # As the in-process tables compare: BTC is not btc, and spaces count.
        "--collation-server=utf8mb4_nopad_bin",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=64M",
        *_as_user(),
    ]
    child = children.start([server, *options], folder / "mariadb.log")
    address = OnlineAddress(host, port, USER, password)
    child.wait_until(lambda: _answers(address))
    return PrivateMariadb(address, child.stop)


def _server() -> str | None:
    # Debian keeps servers where an ordinary user's PATH does not look.
    return shutil.which("mariadbd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


def _install(data: Path, folder: Path) -> None:
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", *_as_user()]
    command += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildProcessError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")


def _as_user() -> list[str]:
    return [f"--user={getpass.getuser()}"] if os.geteuid() == 0 else []


def _answers(address: OnlineAddress) -> bool:
    try:
        pymysql.connect(host=address.host, port=address.port, user=address.user, password=address.password).close()
    except pymysql.Error:
        return False
    return True
