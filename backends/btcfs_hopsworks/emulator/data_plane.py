"""The half of the emulator that holds data: starts its servers, and does with groups what REST asks for."""

from __future__ import annotations

import base64
import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from btcfs_hopsworks.emulator import flight, vectors
from btcfs_hopsworks.emulator.broker import Broker
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.certificates import Certificates, issue
from btcfs_hopsworks.emulator.ingestion import OnlineConsumer
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Commit, Group, Project
from btcfs_hopsworks.emulator.online_tables import OnlineTables
from btcfs_hopsworks.emulator.planes import Credentials, OnlineAddress, Services
from btcfs_hopsworks.emulator.records import Record
from btcfs_hopsworks.emulator.refusals import Refusals
from btcfs_hopsworks.emulator.servers import kafka, online_store
from btcfs_hopsworks.emulator.staging import Staging
from btcfs_hopsworks.emulator.state import State
from btcfs_hopsworks.emulator.topic_reader import TopicReader
from btcfs_hopsworks.emulator.warehouse import Warehouse

DOMAIN = "emulator"
"""The service discovery domain: clients expect the query service to be flyingduck.service.<domain>."""


@attrs.define
class LocalDataPlane:
    """The servers of one emulated cluster; made by ``start``."""

    state: State
    knobs: Knobs
    certificates: Certificates
    broker: Broker
    refusals: Refusals
    warehouse: Warehouse
    tables: OnlineTables
    online_address: OnlineAddress
    server_certificate: tuple[Path, Path]
    ca_certificate: Path
    _staging: Staging
    _consumer: OnlineConsumer
    _reader: TopicReader
    _close: Callable[[], None] = attrs.field(repr=False)
    _materialising: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def bootstrap_servers(self) -> str:
        """The broker; while it is down, or a fault says so, one that refuses or does not answer."""
        fault = self.knobs.take("kafka bootstrap")
        if fault is not None and fault.kind == "hang":
            return self.refusals.silent
        if fault is not None or self.knobs.kafka_down:
            return self.refusals.unauthorised
        return self.broker.bootstrap_servers

    def credentials(self, project: Project) -> Credentials:
        issued = self.certificates
        return Credentials(
            key_store=base64.b64encode(issued.keystore).decode(),
            trust_store=base64.b64encode(issued.truststore).decode(),
            password=issued.password,
            ca_chain=issued.authority.decode(),
            client_certificate=issued.client.certificate.decode(),
            client_key=issued.client.key.decode(),
        )

    def create_group(self, group: Group) -> None:
        """Makes its tables and follows its topic."""
        project = self.state.project_of(group)
        self.warehouse.create(project.featurestore, group)
        if group.online_enabled:
            self.tables.create(project.online_database, group)
        if group.topic:
            self._reader.follow(group.topic)

    def change_group(self, before: Group, after: Group) -> None:
        """Adds the columns of appended features, and the online table if it has just been enabled."""
        project = self.state.project_of(after)
        if before.topic:
            # What was written before is read with the schema it was written with.
            self._reader.catch_up(before.topic)
            self._staging.put_back(after, self._staging.take(before))
        added = after.features[len(before.features) :]
        self.warehouse.add_columns(project.featurestore, after, added)
        if after.online_enabled and not before.online_enabled:
            self.tables.create(project.online_database, after)
        elif after.online_enabled:
            online = {feature.name for feature in after.online_features}
            self.tables.add_columns(project.online_database, after, [f for f in added if f.name in online])

    def drop_group(self, group: Group) -> None:
        """Drops its tables; rows still in Kafka are for nobody."""
        project = self.state.project_of(group)
        self._consumer.forget(group.id)
        self._staging.forget(group)
        self.warehouse.drop(project.featurestore, group)
        if group.online_enabled:
            self.tables.drop(project.online_database, group)

    def clear_group(self, group: Group) -> None:
        """Deletes its rows, and those still in Kafka, but not its tables."""
        project = self.state.project_of(group)
        if group.topic:
            self._reader.catch_up(group.topic)
        self._consumer.forget(group.id)
        self._staging.forget(group)
        self.warehouse.clear(project.featurestore, group)
        if group.online_enabled:
            self.tables.clear(project.online_database, group)

    def materialise(self, group: Group) -> Commit | None:
        """Moves what Kafka holds for the group into the warehouse, and records the commit; None if nothing.

        RowsLost or TimeoutError if not all of it could be read, duckdb.Error if it could not be written; the rows
        that were read stay for the next run.
        """
        self._reader.catch_up(group.topic)
        with self._materialising:
            rows = self._staging.take(group)
            if not rows.num_rows:
                return None
            try:
                committed = self.state.next_commit_ms(group)
                featurestore = self.state.project_of(group).featurestore
                merged = self.warehouse.merge(featurestore, group, rows, committed)
            except BaseException:  # whatever stopped it, the rows wait for the next job
                self._staging.put_back(group, rows)
                raise
            commit = Commit(committed, committed, merged.inserted, merged.updated)
            self.state.record_commit(group, commit)
        return commit

    def query(self, sql: str) -> Any:
        """The answer of the warehouse, as a pyarrow Table. duckdb.Error if the SQL is wrong."""
        return self.warehouse.query(sql)

    def close(self) -> None:
        """Stops everything it started; may be called twice."""
        self._close()


def start(state: State, knobs: Knobs, calls: CallLog, services: Services) -> LocalDataPlane:
    """Starts every server of the data half; all of them can be reached when it returns.

    OSError if a port of ``services.host`` is taken (5005, 3306 and 4406 are fixed by the client), ConnectionError if
    a real server that ``services`` names does not answer.
    """
    with contextlib.ExitStack() as stack:
        certificates = issue(DOMAIN, [services.host])
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hopsworks-emulator-")))
        authority, chain, key = certificates.write(folder)
        broker, refusals = stack.enter_context(kafka(services, folder)), stack.enter_context(Refusals())
        warehouse = Warehouse()
        stack.callback(warehouse.close)
        tables, address = stack.enter_context(online_store(services, folder, knobs, calls))
        staging, consumer = Staging(), OnlineConsumer(state, knobs, tables)
        stack.callback(consumer.close)
        reader = TopicReader(broker, _into(state, staging, consumer))
        stack.callback(reader.close)
        service = flight.serve(certificates, state, warehouse, knobs, calls, services.host)
        stack.callback(service.shutdown)
        rest = vectors.serve((chain, key), state, tables, knobs, calls, services.host)
        stack.callback(rest.close)
        return LocalDataPlane(
            state=state,
            knobs=knobs,
            certificates=certificates,
            broker=broker,
            refusals=refusals,
            warehouse=warehouse,
            tables=tables,
            online_address=address,
            server_certificate=(chain, key),
            ca_certificate=authority,
            staging=staging,
            consumer=consumer,
            reader=reader,
            close=stack.pop_all().close,
        )


def _into(state: State, staging: Staging, consumer: OnlineConsumer) -> Callable[[Sequence[Record]], None]:
    def hand_on(records: Sequence[Record]) -> None:
        known = [record for record in records if record.group_id in state.groups]
        staging.add(known)
        consumer.add(known)

    return hand_on
