"""Definitions coming and going: made in Hopsworks first and then entered in the catalogue, and left in the other order."""

from __future__ import annotations

import attrs

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import DefinitionError
from btcfs_hopsworks import columns
from btcfs_hopsworks.gateway import groups
from btcfs_hopsworks.ledger import Head, Record, entry_of, tombstones
from btcfs_hopsworks.shared import Shared


def apply(shared: Shared, definition: Definition) -> None:
    """As ``FeatureStore.apply``; the caller holds the turn."""
    snapshot = shared.ledger.refresh()
    catalogue.check_apply(snapshot.definitions, definition)
    stamp = shared.ledger.stamp()
    record = snapshot.record(definition)
    if record is not None and record.definition is not None:
        if isinstance(definition, FeatureGroup) and definition.description != record.definition.description:
            groups.describe(
                shared.session, shared.logs.handle(definition, snapshot.head(definition)), definition.description
            )
        shared.ledger.put([attrs.evolve(record, defined=stamp, changed=stamp, definition=definition)])
        return
    head = None
    if isinstance(definition, FeatureGroup):
        _make_group(shared, definition)
        head = Head(stamp, stamp, spans=None if definition.interval is None else {})
    else:
        shared.doors.make(catalogue.resolve(snapshot.definitions, definition), snapshot)
    shared.ledger.put([Record(entry_of(definition), stamp, stamp, definition, head)])


def delete(shared: Shared, definition: Definition, *, all_versions: bool) -> None:
    """As ``FeatureStore.delete``; the caller holds the turn."""
    snapshot = shared.ledger.refresh()
    stored = snapshot.definitions
    doomed = catalogue.doomed(stored, definition, all_versions=all_versions)
    # First the catalogue: what is left behind if the rest fails is of no definition, and is found and used anew.
    records = [snapshot.records[entry_of(victim)] for victim in doomed]
    shared.ledger.put(tombstones(records, shared.ledger.stamp()))
    for victim in doomed:
        if isinstance(victim, FeatureGroup):
            shared.logs.forget(victim)
            groups.delete(shared.session, *victim.ref)
        else:
            shared.doors.remove(victim, len(catalogue.resolve(stored, victim).parts))


def _make_group(shared: Shared, group: FeatureGroup) -> None:
    wanted = columns.columns(group)
    found = groups.find(shared.session, *group.ref)
    if found is None:
        groups.create(
            shared.session,
            *group.ref,
            wanted,
            primary_key=columns.ROW,
            event_time=columns.name_of(group.event_time),
            description=group.description,
            statistics=True,
        )
        return
    # Left by a try that came to no end, if it is as we make them; its rows are before the new head and never count.
    if [(column.name, column.type) for column in wanted] != groups.columns_of(found):
        raise DefinitionError(
            f"{group.title}: Hopsworks has a feature group of that name and version with another schema, not made by "
            f"btcfs; use another name, or version {group.version + 1}"
        )
