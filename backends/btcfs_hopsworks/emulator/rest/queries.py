"""``PUT /featurestores/query``: a described query becomes SQL for each place it can be run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from btcfs_hopsworks.emulator.offline_sql import offline_sql
from btcfs_hopsworks.emulator.online_sql import online_sql
from btcfs_hopsworks.emulator.queries import QueryRefused, plan
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, project_of


def construct(server: Server, call: Call) -> Answer:
    project_of(server, call)
    return constructed(server, call.object())


def constructed(server: Server, query: Mapping[str, Any]) -> dict[str, Any]:
    """The FsQuery of a QueryDTO; ``hqsPayload`` is opaque to clients, who hand it to Flight as it is."""
    try:
        planned = plan(server.state, query)
        sql = offline_sql(planned)
        online = online_sql(planned) if planned.online else None
    except QueryRefused as exc:
        raise Refused(400, exc.code, "Illegal query", str(exc)) from exc
    payload = json.dumps({"sql": sql})
    return {
        "query": sql,
        **({"queryOnline": online} if online else {}),
        **({"pitQuery": sql} if planned.point_in_time else {}),
        "onDemandFeatureGroups": [],
        "hudiCachedFeatureGroups": [],
        "hqsPayload": payload,
        "hqsPayloadSignature": base64.b64encode(hashlib.sha256(payload.encode()).digest()).decode(),
    }
