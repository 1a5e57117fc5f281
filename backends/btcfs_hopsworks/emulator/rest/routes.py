"""Which handler answers which path."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from btcfs_hopsworks.emulator.rest import (
    control,
    datasets,
    groups,
    ingestion,
    jobs,
    login,
    models,
    monitoring,
    provenance,
    queries,
    statistics,
    tags,
    training_sets,
    views,
)
from btcfs_hopsworks.emulator.rest.endpoint import endpoint
from btcfs_hopsworks.emulator.rest.guard import API
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Handler, Refused, Server

Table = list[tuple[str, str, Handler]]

P = "/project/{project:int}"
F = P + "/featurestores/{store}"
G = F + "/featuregroups/{group}"
N = F + "/featureview/{view}"
V = N + "/version/{version:int}"
T = V + "/trainingdatasets"
D = T + "/version/{training:int}"

CONTROL: Table = [
    ("GET", "/_emulator/knobs", control.knobs),
    ("PUT", "/_emulator/knobs", control.change_knobs),
    ("POST", "/_emulator/knobs", control.add_fault),
    ("DELETE", "/_emulator/knobs", control.reset_knobs),
    ("GET", "/_emulator/calls", control.calls),
    ("DELETE", "/_emulator/calls", control.clear_calls),
]
LOGIN: Table = [
    ("GET", "/variables/versions", login.versions),
    ("GET", "/variables/{name}", login.variable),
    ("GET", "/project", login.projects),
    ("GET", "/project/getProjectInfo/{name}", login.project_info),
    ("GET", P + "/credentials", login.credentials),
    ("GET", P + "/featurestores", login.feature_stores),
    ("PUT", P + "/featurestores/query", queries.construct),
    ("GET", F, login.feature_store),
]
GROUPS: Table = [
    ("GET", F + "/featuregroups", groups.everything),
    ("POST", F + "/featuregroups", groups.create),
    ("GET", G, groups.find),
    ("PUT", G, groups.update),
    ("DELETE", G, groups.delete),
    ("POST", G + "/clear", groups.clear),
    ("GET", G + "/commits", groups.commits),
    ("POST", G + "/commits", groups.add_commit),
    ("POST", G + "/updatetableschema", groups.update_table_schema),
    ("GET", G + "/expectationsuite", groups.expectation_suite),
    ("GET", G + "/online_ingestion", ingestion.progress),
    ("POST", G + "/online_ingestion", ingestion.begin),
    ("GET", G + "/statistics", statistics.get),
    ("POST", G + "/statistics", statistics.register),
    ("POST", G + "/statistics/compute", statistics.compute),
    ("GET", G + "/provenance/links", provenance.links),
    ("GET", F + "/kafka/subjects/{subject}/versions/latest", ingestion.subject),
    ("GET", F + "/storageconnectors/kafka_connector/byok", ingestion.kafka_connector),
    ("GET", F + "/storageconnectors/onlinefeaturestore", ingestion.online_connector),
    ("GET", F + "/storageconnectors/{connector}", ingestion.connector),
]
JOBS: Table = [
    ("GET", P + "/jobs", jobs.listed),
    ("GET", P + "/jobs/{job}", jobs.one),
    ("DELETE", P + "/jobs/{job}", jobs.delete),
    ("GET", P + "/jobs/{job}/executions", jobs.executions),
    ("POST", P + "/jobs/{job}/executions", jobs.start),
    ("GET", P + "/jobs/{job}/executions/{execution:int}", jobs.execution),
]
VIEWS: Table = [
    ("GET", F + "/featureview", views.everything),
    ("POST", F + "/featureview", views.create),
    ("GET", N, views.versions),
    ("DELETE", N, views.delete),
    ("GET", V, views.one),
    ("PUT", V, views.update),
    ("DELETE", V, views.delete),
    ("GET", V + "/query/batch", views.batch),
    ("POST", V + "/query/batch", views.batch),
    ("GET", V + "/preparedstatement", views.prepared_statements),
    ("GET", T, training_sets.listed),
    ("POST", T, training_sets.create),
    ("DELETE", T, training_sets.delete),
    ("DELETE", T + "/data", training_sets.delete_data),
    ("GET", D, training_sets.one),
    ("PUT", D, training_sets.update),
    ("DELETE", D, training_sets.delete),
    ("DELETE", D + "/data", training_sets.delete_data),
    ("POST", D + "/compute", training_sets.compute),
    ("GET", D + "/statistics", statistics.get),
    ("POST", D + "/statistics", statistics.register),
    ("POST", D + "/statistics/compute", statistics.compute),
    ("GET", V + "/provenance/links", provenance.links),
]
DATASETS: Table = [
    ("GET", P + "/dataset/download/with_auth/{path:path}", datasets.download),
    ("POST", P + "/dataset/upload/{path:path}", datasets.upload),
    ("GET", P + "/dataset/{path:path}", datasets.get),
    ("POST", P + "/dataset/{path:path}", datasets.post),
    ("DELETE", P + "/dataset/{path:path}", datasets.delete),
]
M = P + "/modelregistries/{registry}/models"
MODELS: Table = [
    ("GET", P + "/modelregistries", models.registries),
    ("GET", M, models.listed),
    ("GET", M + "/{model}", models.one),
    ("PUT", M + "/{model}", models.put),
    ("DELETE", M + "/{model}", models.delete),
    ("GET", M + "/{model}/provenance/links", models.provenance),
]


def _monitoring(entity: str) -> Table:
    config, result = entity + "/featuremonitoring/config", entity + "/featuremonitoring/result"
    return [
        ("POST", config, monitoring.create),
        ("PUT", config, monitoring.update),
        ("GET", config + "/entity", monitoring.by_entity),
        ("GET", config + "/name/{name}", monitoring.by_name),
        ("GET", config + "/feature/{feature}", monitoring.by_feature),
        ("POST", config + "/setup/{name}", monitoring.setup),
        ("GET", config + "/{config:int}", monitoring.by_id),
        ("PUT", config + "/{config:int}", monitoring.update),
        ("DELETE", config + "/{config:int}", monitoring.delete),
        ("POST", config + "/{config:int}/trigger", monitoring.trigger),
        ("GET", result + "/byconfig/{config:int}", monitoring.results),
        ("POST", result, monitoring.register_result),
    ]


def _tags(entity: str) -> Table:
    return [
        ("GET", entity + "/tags", tags.listed),
        ("DELETE", entity + "/tags", tags.delete),
        ("GET", entity + "/tags/{tag}", tags.one),
        ("PUT", entity + "/tags/{tag}", tags.put),
        ("DELETE", entity + "/tags/{tag}", tags.delete),
    ]


API_ROUTES: Table = [
    *LOGIN,
    *GROUPS,
    *_tags(G),
    *_monitoring(G),
    *VIEWS,
    *_tags(V),
    *_tags(D),
    *_monitoring(V),
    *JOBS,
    *MODELS,
    *_tags(M + "/{model}"),
    *DATASETS,
]


def unknown(server: Server, call: Call) -> Answer:
    """A path of the API that the emulator does not have: said in words, as JSON like every other error."""
    raise Refused(404, 120000, "The emulator does not have this path", call.url)


def routes(server: Server) -> list[BaseRoute]:
    """Every route of the emulator, in the order they are tried."""
    control_routes = [Route(path, endpoint(server, handler), methods=[verb]) for verb, path, handler in CONTROL]
    return [
        *control_routes,
        *(Route(API + path, endpoint(server, handler), methods=[verb]) for verb, path, handler in API_ROUTES),
        Route(API + "/{rest:path}", endpoint(server, unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
