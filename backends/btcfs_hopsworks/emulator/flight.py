"""The query service of the emulator: Arrow Flight over mutual TLS, as the client's offline reads use it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet

from btcfs_hopsworks.emulator.call_log import Call, CallLog
from btcfs_hopsworks.emulator.certificates import Certificates
from btcfs_hopsworks.emulator.knobs import Fault, Knobs
from btcfs_hopsworks.emulator.state import State
from btcfs_hopsworks.emulator.warehouse import Warehouse

PORT = 5005
VERSION = b"5.2.1"

_ACTIONS = (
    ("healthcheck", "answers when the service is up"),
    ("get-version", "the version of the service"),
    ("register-client-certificates", "accepted and forgotten"),
    ("create-training-dataset", "writes a training dataset's files"),
)


class QueryService(flight.FlightServerBase):
    """Answers queries of the warehouse and reads files of the emulated file system."""

    def __init__(
        self,
        location: str,
        certificates: Certificates,
        state: State,
        warehouse: Warehouse,
        knobs: Knobs,
        calls: CallLog,
    ) -> None:
        super().__init__(
            location,
            tls_certificates=[(certificates.server.certificate, certificates.server.key)],
            verify_client=True,
            root_certificates=certificates.authority,
        )
        self._state, self._warehouse, self._knobs, self._calls = state, warehouse, knobs, calls

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        self._refuse_if_down()
        return list(_ACTIONS)

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        with _logged(self._calls, f"do_action {action.type}"):
            self._suffer(f"flight do_action {action.type}")
            if action.type == "healthcheck":
                answer = b"ok"
            elif action.type == "get-version":
                answer = VERSION
            elif action.type == "register-client-certificates":
                answer = b""
            elif action.type == "create-training-dataset":
                answer = self._create_training_dataset(json.loads(action.body.to_pybytes()))
            else:
                raise flight.FlightServerError(f"no action {action.type!r}; there are: {', '.join(dict(_ACTIONS))}")
        return iter([flight.Result(pa.py_buffer(answer))])

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        ticket = _ticket(descriptor)
        with _logged(self._calls, f"get_flight_info {_what(ticket)}"):
            self._suffer(f"flight get_flight_info {_what(ticket)}")
            endpoint = flight.FlightEndpoint(json.dumps(ticket).encode(), [])
            return flight.FlightInfo(pa.schema([]), descriptor, [endpoint], -1, -1)

    def do_get(self, context: Any, ticket: Any) -> Any:
        wanted = json.loads(ticket.ticket)
        with _logged(self._calls, f"do_get {_what(wanted)}"):
            fault = self._suffer(f"flight do_get {_what(wanted)}")
            table = self._answer(wanted)
            if fault is None:
                return flight.RecordBatchStream(table)
            return flight.GeneratorStream(table.schema, _torn(table))

    def _answer(self, wanted: dict[str, Any]) -> pa.Table:
        try:
            if "path" in wanted:
                return pyarrow.parquet.read_table(self._state.file(wanted["path"]))
            return self._warehouse.query(wanted["sql"])
        except Exception as exc:
            # Flight would report an error of another kind without its text.
            raise flight.FlightServerError(f"{type(exc).__name__}: {exc}. Detail: {json.dumps(wanted)}") from exc

    def _create_training_dataset(self, wanted: dict[str, Any]) -> bytes:
        project = self._state.project_named(wanted["project_name"])
        views = self._state.views_of(project.id, wanted["fv_name"]) if project is not None else ()
        sets = [
            training_set
            for view in views
            if view.version == wanted["fv_version"]
            for training_set in self._state.training_sets_of(view)
            if training_set.version == wanted["tds_version"]
        ]
        if not sets:
            raise flight.FlightServerError(f"no such training dataset: {wanted}")
        name = f"{wanted['fv_name']}_{wanted['fv_version']}"
        folder = self._state.file(sets[0].location) / name
        self._warehouse.write_file(wanted["query"]["sql"], folder / "part-00000.parquet")
        return sets[0].location.encode()

    def _refuse_if_down(self) -> None:
        if self._knobs.flight_down:
            raise flight.FlightUnavailableError("the query service is down")

    def _suffer(self, call: str) -> Fault | None:
        """Does what a fault says, and returns the one that is about the answer."""
        self._refuse_if_down()
        fault = self._knobs.take(call)
        if fault is None or fault.kind == "torn":
            return fault
        if fault.kind == "hang":
            time.sleep(fault.seconds)
        if fault.kind in ("hang", "drop"):
            raise flight.FlightUnavailableError(f"the emulator was told to {fault.kind} here")
        raise flight.FlightServerError(f"the emulator was told to fail this call ({fault.kind})")


def serve(
    certificates: Certificates,
    state: State,
    warehouse: Warehouse,
    knobs: Knobs,
    calls: CallLog,
    host: str,
    port: int = PORT,
) -> QueryService:
    """Starts to listen in a thread of its own; ``shutdown()`` ends it. OSError if the port is taken."""
    try:
        service = QueryService(f"grpc+tls://{host}:{port}", certificates, state, warehouse, knobs, calls)
    except pa.ArrowException as exc:
        raise OSError(f"cannot listen on {host}:{port}: {exc}") from exc
    threading.Thread(target=service.serve, name="emulator-flight", daemon=True).start()
    return service


def _ticket(descriptor: Any) -> dict[str, Any]:
    if descriptor.descriptor_type == flight.DescriptorType.PATH:
        return {"path": "/".join(part.decode() for part in descriptor.path)}
    try:
        payload: dict[str, Any] = json.loads(descriptor.command)
        return {"sql": payload["sql"]}
    except (ValueError, KeyError, TypeError) as exc:
        raise flight.FlightServerError(f"not a query of this cluster: {descriptor.command[:200]!r}") from exc


def _what(ticket: dict[str, Any]) -> str:
    return str(ticket.get("path") or ticket.get("sql"))


def _torn(table: pa.Table) -> Iterator[pa.RecordBatch]:
    half = table.slice(0, max(1, table.num_rows // 2))
    yield from half.to_batches()
    raise flight.FlightServerError("the emulator was told to tear this answer")


@contextlib.contextmanager
def _logged(calls: CallLog, call: str) -> Iterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        calls.record(Call("flight", call, None, (time.perf_counter() - begun) * 1000))
