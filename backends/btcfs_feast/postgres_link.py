"""Connections to the Postgres that a feature_store.yaml names as its offline store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from btcfs.errors import ConfigError
from btcfs_feast.repository import Repository

_BUFFER = 1 << 20  # bytes


class Link:
    """Connections to one database, kept between calls and used by one thread at a time."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._idle: list[Any] = []
        self._guard = threading.Lock()
        repository.closing.append(self._close)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A cursor in a transaction, committed if the block ends well. StoreUnavailable if the server is not there."""
        with self.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            yield cursor

    def translated(self) -> AbstractContextManager[None]:
        """A block whose errors of the server are ours."""
        return self._repository.translated("offline store")

    @contextmanager
    def connection(self) -> Iterator[Any]:
        with self.translated():
            connection = self._take()
            try:
                yield connection
            except BaseException:  # whatever stopped it, nobody knows what the connection is in
                connection.close()
                raise
            with self._guard:
                self._idle.append(connection)

    def _close(self) -> None:
        with self._guard:
            while self._idle:
                self._idle.pop().close()

    def _take(self) -> Any:
        with self._guard:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed and not connection.broken:
                    return connection
        return self._connect()

    def _connect(self) -> Any:
        try:
            import psycopg
        except ImportError as exc:
            raise ConfigError(
                f"a Postgres offline store needs psycopg: {exc}. Install it: pip install 'btcfs[feast-postgres]'"
            ) from exc
        config = self._repository.feast.config.offline_store
        schema = (config.db_schema or config.user).strip()
        connection = psycopg.connect(
            host=config.host,
            port=int(config.port),
            dbname=config.database,
            user=config.user,
            password=config.password,
            sslmode=config.sslmode,
            sslkey=config.sslkey_path,
            sslcert=config.sslcert_path,
            sslrootcert=config.sslrootcert_path,
            connect_timeout=max(2, int(self._repository.timeout)),
            # As Feast connects, so that both find the same tables; and always UTC. To compile a query takes longer than
            # any of these does.
            options=f"-c search_path={schema if schema == 'public' else schema + ',public'} -c timezone=UTC -c jit=off",
            autocommit=True,
        )
        # libpq reads as much at once as its buffer holds, which grows with the longest message and never shrinks: for
        # tables read by COPY it is 16 KB otherwise, some rows.
        connection.execute(f"SELECT repeat('x', {_BUFFER})")
        return connection
