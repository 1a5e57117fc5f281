"""What an insert asks for: the Avro subject, the connectors to Kafka and MySQL, and how far the rows have come."""

from __future__ import annotations

import json
from typing import Any

from btcfs_hopsworks.emulator.avro import record_schema
from btcfs_hopsworks.emulator.metadata import Group, OnlineIngestion
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, group_of, items, project_of


def subject(server: Server, call: Call) -> Answer:
    """The newest Avro schema of ``<group>_<version>``."""
    project, wanted = project_of(server, call), call.path["subject"]
    group = next((g for g in server.state.groups_of(project.id) if g.table == wanted), None)
    if group is None:
        raise Refused(404, 40401, "Subject not found", f"subject: {wanted}")
    schema = record_schema(group, project.featurestore)
    return {"id": group.subject_id, "subject": wanted, "version": 1, "schema": json.dumps(schema)}


def kafka_connector(server: Server, call: Call) -> Answer:
    """An external Kafka without TLS: the client then parses no key store. See the page on fidelity."""
    return {
        "type": "featurestoreKafkaConnectorDTO",
        "storageConnectorType": "KAFKA",
        "id": 1,
        "name": "kafka_connector",
        "featurestoreId": project_of(server, call).featurestore_id,
        "bootstrapServers": server.plane.bootstrap_servers,
        "securityProtocol": "PLAINTEXT",
        "sslEndpointIdentificationAlgorithm": "",
        "externalKafka": True,
        "options": [],
    }


def online_connector(server: Server, call: Call) -> Answer:
    project, address = project_of(server, call), server.plane.online_address
    return {
        "type": "featurestoreJdbcConnectorDTO",
        "storageConnectorType": "JDBC",
        "id": 2,
        "name": "onlinefeaturestore",
        "featurestoreId": project.featurestore_id,
        "connectionString": f"jdbc:mysql://{address.host}:{address.port}/{project.online_database}"
        "?useSSL=false&allowPublicKeyRetrieval=true",
        "arguments": [
            {"name": "user", "value": address.user},
            {"name": "password", "value": address.password},
            {"name": "driver", "value": "com.mysql.cj.jdbc.Driver"},
            {"name": "isolationLevel", "value": "NONE"},
            {"name": "batchsize", "value": "500"},
        ],
    }


def connector(server: Server, call: Call) -> Answer:
    raise Refused(404, 270042, "Storage connector wasn't found.", f"connector name: {call.path['connector']}")


def begin(server: Server, call: Call) -> Answer:
    group = group_of(server, call)
    if not group.online_enabled:
        raise Refused(400, 270064, "Feature group is not online enabled", f"feature group: {group.name}")
    entries = call.object().get("numEntries")
    with server.state.lock:
        begun = OnlineIngestion(server.state.next_id(), group.id, int(entries) if entries is not None else 0)
        server.state.ingestions[begun.id] = begun
    return _fields(begun)


def progress(server: Server, call: Call) -> Answer:
    """The ingestions of a group, newest first: all, one by ``ID:``, or the ``LATEST``."""
    group = group_of(server, call)
    with server.state.lock:
        found = [i for i in server.state.ingestions.values() if i.group_id == group.id][::-1]
    wanted = call.query.get("filter_by", "")
    if wanted.startswith("ID:"):
        found = [i for i in found if i.id == int(wanted[len("ID:") :])]
    elif wanted == "LATEST":
        found = found[:1]
    return items([_fields(ingestion) for ingestion in found], call.url)


def _fields(ingestion: OnlineIngestion) -> dict[str, Any]:
    return {
        "id": ingestion.id,
        "numEntries": ingestion.entries,
        "results": [
            {"onlineIngestionId": ingestion.id, "status": status, "rows": rows}
            for status, rows in ingestion.rows.items()
        ],
    }


def forget(server: Server, group: Group) -> None:
    """Drops the ingestions of a deleted group."""
    with server.state.lock:
        gone = [i.id for i in server.state.ingestions.values() if i.group_id == group.id]
        for number in gone:
            del server.state.ingestions[number]
