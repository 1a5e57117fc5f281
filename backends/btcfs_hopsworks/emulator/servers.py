"""Which servers an emulator's rows go through: stand-ins in this process, private real ones, or those of others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from btcfs_hopsworks.emulator import mariadb, mysql_wire, online_mariadb, tansu
from btcfs_hopsworks.emulator.broker import Broker, broker_at, mock_broker
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.online_mariadb import MariadbTables
from btcfs_hopsworks.emulator.online_sqlite import SqliteTables
from btcfs_hopsworks.emulator.online_tables import OnlineTables
from btcfs_hopsworks.emulator.planes import OnlineAddress, Services

PRIVATE = "private"
"""Instead of an address: start one, which ends with the emulator."""


@contextlib.contextmanager
def kafka(services: Services, folder: Path) -> Iterator[Broker]:
    """The broker that ``services.kafka`` says: None is the mock, ``private`` a tansu, else an address."""
    if services.kafka is None:
        broker = mock_broker()
    elif services.kafka == PRIVATE:
        broker = tansu.start(folder, services.host)
    else:
        broker = broker_at(services.kafka)
    try:
        yield broker
    finally:
        broker.close()


@contextlib.contextmanager
def online_store(
    services: Services, folder: Path, knobs: Knobs, calls: CallLog
) -> Iterator[tuple[OnlineTables, OnlineAddress]]:
    """The online tables and where clients read them, on port 3306 of ``services.host`` if they are ours.

    ``services.mysql`` None is SQLite behind the MySQL protocol, ``private`` a MariaDB, else an address.
    """
    with contextlib.ExitStack() as stack:
        if services.mysql is None:
            stand_in = stack.enter_context(contextlib.closing(SqliteTables()))
            wire = stack.enter_context(contextlib.closing(mysql_wire.serve(stand_in, knobs, calls, services.host)))
            yield stand_in, wire.address
            return
        if services.mysql == PRIVATE:
            server = mariadb.start(folder, services.host)
            stack.callback(server.stop)
            tables = MariadbTables(server.address)
        else:
            tables = online_mariadb.connect(services.mysql)
        yield stack.enter_context(contextlib.closing(tables)), tables.address
