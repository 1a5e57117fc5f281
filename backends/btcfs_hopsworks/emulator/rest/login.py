"""Login: variables, projects, credentials and feature stores."""

from __future__ import annotations

from typing import Any

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import Project
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, project_of


def versions(server: Server, call: Call) -> Answer:
    return [{"software": "hopsworks", "version": server.version}]


def variable(server: Server, call: Call) -> Answer:
    name = call.path["name"]
    known = {
        "service_discovery_domain": server.domain,
        "enable_flyingduck": "true",
        "enable_data_science_profile": "true",
        "upload_policy": "all",
        **{
            f"loadbalancer_external_domain_{service}": server.host
            for service in ("feature_query", "mysqld", "online_store_rest_server", "kafka")
        },
    }
    if name not in known:
        raise Refused(404, 100054, "Variable not found.", f"variable: {name}")
    return {"successMessage": known[name]}


def projects(server: Server, call: Call) -> Answer:
    with server.state.lock:
        return [_team(project) for project in server.state.projects.values()]


def _team(project: Project) -> dict[str, Any]:
    user = {"uid": 10001, "username": project.username, "fname": "Local", "lname": "User", "email": "user@localhost"}
    owned = {"id": project.id, "name": project.name, "owner": user, "created": iso(0)}
    return {
        "projectTeamPK": {"projectId": project.id, "teamMember": user["email"]},
        "project": owned,
        "user": user,
        "teamRole": "Data owner",
        "timestamp": iso(0),
    }


def project_info(server: Server, call: Call) -> Answer:
    found = server.state.project_named(call.path["name"])
    if found is None:
        raise Refused(404, 150004, "Project wasn't found.", f"projectName: {call.path['name']}")
    return {
        "projectId": found.id,
        "projectName": found.name,
        "owner": "user@localhost",
        "description": "A project of the emulator.",
        "created": iso(0),
        "services": ["PROJECT", "FEATURESTORE", "JOBS", "KAFKA"],
        "datasets": [],
        "projectTeam": [],
        "inodeid": found.id,
    }


def credentials(server: Server, call: Call) -> Answer:
    issued = server.plane.credentials(project_of(server, call))
    return {
        "fileExtension": "jks",
        "kStore": issued.key_store,
        "tStore": issued.trust_store,
        "password": issued.password,
        "caChain": issued.ca_chain,
        "clientCert": issued.client_certificate,
        "clientKey": issued.client_key,
    }


def feature_stores(server: Server, call: Call) -> Answer:
    return [_feature_store(server, project_of(server, call))]


def feature_store(server: Server, call: Call) -> Answer:
    project, wanted = project_of(server, call), call.path["store"]
    if wanted.lower() not in (project.featurestore, str(project.featurestore_id)):
        raise Refused(404, 270014, "Featurestore wasn't found.", f"featurestore: {wanted}")
    return _feature_store(server, project)


def _feature_store(server: Server, project: Project) -> dict[str, Any]:
    views = server.state.views_of(project.id)
    return {
        "featurestoreId": project.featurestore_id,
        "featurestoreName": project.featurestore,
        "created": iso(0),
        "projectName": project.name,
        "projectId": project.id,
        "offlineFeaturestoreName": project.featurestore,
        "onlineFeaturestoreName": project.online_database,
        "onlineFeaturestoreSize": 0.0,
        "onlineEnabled": True,
        "numFeatureGroups": len(server.state.groups_of(project.id)),
        "numTrainingDatasets": sum(len(server.state.training_sets_of(view)) for view in views),
        "numStorageConnectors": 2,
        "numFeatureViews": len(views),
    }
