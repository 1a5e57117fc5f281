"""Feature groups and features as JSON, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from btcfs_hopsworks.emulator.hive import to_mysql
from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import TIME_TRAVEL_FORMATS, Feature, Group
from btcfs_hopsworks.emulator.rest.server import Refused
from btcfs_hopsworks.emulator.state import State

KINDS = ("streamFeatureGroupDTO", "cachedFeaturegroupDTO", "onDemandFeaturegroupDTO")

# What the server decides itself, whatever a client sends.
_OWN = {"id", "version", "features", "featurestoreId", "featurestoreName", "created", "creator", "location", "href"}
_OWN |= {"onlineTopicName", "onlineEnabled", "timeTravelFormat", "eventTime", "expectationSuite", "parents", "tags"}


def feature_of(fields: Mapping[str, Any], *, online: bool) -> Feature:
    """A feature from its JSON; Refused with 270040 if it has no name or type."""
    name, kind = fields.get("name"), fields.get("type")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise Refused(400, 270040, "Illegal feature", f"expected a name and a type, found {name!r} and {kind!r}")
    offline_only, on_demand = bool(fields.get("offlineOnly")), bool(fields.get("onDemand"))
    stored_online = online and not (offline_only or on_demand)
    return Feature(
        name=name,
        type=kind.lower(),
        online_type=(fields.get("onlineType") or to_mysql(kind)) if stored_online else fields.get("onlineType"),
        description=fields.get("description"),
        primary=bool(fields.get("primary")),
        foreign=bool(fields.get("foreign")),
        partition=bool(fields.get("partition")),
        precombine=bool(fields.get("hudiPrecombineKey")),
        offline_only=offline_only,
        on_demand=on_demand,
        default=fields.get("defaultValue"),
    )


def with_precombine(
    features: tuple[Feature, ...], time_travel_format: str, event_time: str | None
) -> tuple[Feature, ...]:
    """The features of a HUDI group with one precombine key: the client fails on a group without."""
    if time_travel_format != "HUDI" or not features or any(f.precombine for f in features):
        return features
    chosen = event_time or next((f.name for f in features if f.primary), features[0].name)
    return tuple(attrs.evolve(f, precombine=True) if f.name == chosen else f for f in features)


def feature_fields(feature: Feature, group: Group) -> dict[str, Any]:
    return {
        "name": feature.name,
        "type": feature.type,
        **({"onlineType": feature.online_type} if feature.online_type else {}),
        "description": feature.description or "",
        "primary": feature.primary,
        "foreign": feature.foreign,
        "partition": feature.partition,
        "hudiPrecombineKey": feature.precombine,
        "offlineOnly": feature.offline_only,
        "onDemand": feature.on_demand,
        **({"defaultValue": feature.default} if feature.default is not None else {}),
        "featureGroupId": group.id,
    }


def group_fields(state: State, group: Group, *, href: str | None = None) -> dict[str, Any]:
    """A feature group as the API answers it."""
    project = state.project_of(group)
    echoed = {name: value for name, value in group.body.items() if name not in _OWN and value is not None}
    statistics = {"enabled": True, "histograms": False, "correlations": False, "exactUniqueness": False, "columns": []}
    return {
        **echoed,
        "type": group.kind,
        "id": group.id,
        "name": group.name,
        "version": group.version,
        "description": group.body.get("description") or "",
        "featurestoreId": project.featurestore_id,
        "featurestoreName": project.featurestore,
        "created": iso(group.created_ms),
        "creator": {"email": "user@localhost", "firstName": "Local", "lastName": "User"},
        "features": [feature_fields(feature, group) for feature in group.features],
        "onlineEnabled": group.online_enabled,
        "timeTravelFormat": group.time_travel_format,
        **({"eventTime": group.event_time} if group.event_time else {}),
        "location": f"hopsfs://namenode:8020/apps/hive/warehouse/{project.featurestore}.db/{group.table}",
        **({"onlineTopicName": group.topic} if group.topic else {}),
        "statisticsConfig": {**statistics, **(group.body.get("statisticsConfig") or {})},
        "deprecated": bool(group.body.get("deprecated", False)),
        "parents": [],
        **({"href": href} if href else {}),
    }


def format_of(fields: Mapping[str, Any]) -> str:
    """The time travel format asked for; Refused with 270101 if there is none such."""
    wanted = str(fields.get("timeTravelFormat") or "NONE").upper()
    if wanted not in (*TIME_TRAVEL_FORMATS, "NONE"):
        raise Refused(400, 270101, "Illegal time travel format", f"{wanted}; expected {', '.join(TIME_TRAVEL_FORMATS)}")
    return wanted
