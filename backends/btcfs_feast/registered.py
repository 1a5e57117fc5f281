"""btcfs's definitions in Feast's registry: kept whole in tags, beside what other Feast clients need of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup, FeatureView, definition_from_dict
from btcfs.errors import ConfigError, DefinitionError, StoreUnavailable, Unsupported
from btcfs_feast import attached
from btcfs_feast.attached import Foreign
from btcfs_feast.naming import KEY, PAYLOAD, feast_name, online_name, refuse_reserved
from btcfs_feast.repository import Repository
from btcfs_feast.shelf import Shelf

TAG, IDENTITY, FORMAT, PART_OF = "btcfs", "btcfs_id", "btcfs_format", "btcfs_part_of"
_FORMAT = "1"
_TRIES = 4


@attrs.frozen
class Stored:
    """A definition, and what tells it apart from one of the same name that was deleted before.

    ``foreign`` is the feature view behind a group that someone else made; of a view of theirs it is None,
    and the identity is empty. ``online`` is the Feast view of a group's online rows, None if it is lost.
    """

    definition: Definition
    identity: str
    foreign: Foreign | None = None
    online: Any = attrs.field(default=None, eq=False)

    @property
    def ours(self) -> bool:
        return bool(self.identity)

    @property
    def whole(self) -> bool:
        """Whether all is registered that belongs to it."""
        return not self.ours or isinstance(self.definition, FeatureView) or self.online is not None


class Registered:
    """The definitions of a repository. What changes them is to be called in a writer's turn."""

    def __init__(self, repository: Repository, shelf: Callable[[FeatureGroup, str], Shelf]) -> None:
        self._repository = repository
        self._shelf = shelf
        self._parsed: dict[str, Definition] = {}
        self._seen_any = False

    def stored(self) -> list[Stored]:
        """Every definition as the registry has it now, in the order of ``FeatureStore.definitions``."""
        for tries in range(_TRIES):
            views, services = self._listed()
            if views or services or not self._seen_any:
                break
            # Feast empties a registry file before it writes it anew; who reads in between finds nothing.
            time.sleep(0.005 * tries)
        self._seen_any = bool(views or services)
        online = {view.tags[PART_OF]: view for view in views if PART_OF in view.tags}
        found = [self._stored(each, online.get(each.name)) for each in (*views, *services) if TAG in each.tags]
        found += _attached(found, views, services)
        order = {id(d): place for place, d in enumerate(catalogue.ordered(each.definition for each in found))}
        return sorted(found, key=lambda each: order[id(each.definition)])

    def apply(self, definition: Definition) -> None:
        """Register a definition that may be applied. DefinitionError if its name is someone else's."""
        with self._repository.translated("registry"):
            if isinstance(definition, FeatureGroup):
                self._apply_group(definition)
            else:
                self._apply_view(definition)
        # Feast's file registry has no lock: another client may have written over what was just added.
        if not any(each.definition == definition and each.whole for each in self.stored()):
            raise StoreUnavailable(
                f"{definition.title} was applied but is not in the registry of {self._repository.root}: another Feast "
                f"client changed it at the same moment. Apply it again; a SQL registry does not lose writes"
            )

    def delete(self, stored: Stored) -> None:
        """Take a definition and its rows away."""
        feast, definition = self._repository.feast, stored.definition
        if not stored.ours:
            raise Unsupported(
                f"{definition.title} was made by someone else in Feast; btcfs reads it and leaves it there"
            )
        with self._repository.translated("registry"):
            if isinstance(definition, FeatureView):
                self._repository.applied([], deleted=[feast.get_feature_service(feast_name(definition))])
                return
            views = [feast.get_feature_view(feast_name(definition)), *([stored.online] if stored.whole else [])]
            sources = [view.batch_source for view in views]
            self._repository.applied([], deleted=[*views, *sources])
        self._shelf(definition, stored.identity).drop()

    def _apply_group(self, group: FeatureGroup) -> None:
        from feast import FeatureView as FeastView
        from feast import Field

        refuse_reserved(group)
        name = feast_name(group)
        self._refuse_foreign(name, online_name(group), group)
        *entities, key = self._entities((*group.entity, KEY), group)
        before = next(
            (each.identity for each in self.stored() if each.definition.ref == group.ref and _is_group(each)), ""
        )
        identity = before or uuid.uuid4().hex[:8]
        shelf = self._shelf(group, identity)
        if not before:
            shelf.create()
        try:
            types = _feast_types()
            keys = [Field(name=column, dtype=types["string"]) for column in group.entity]
            online: dict[str, Any] = {
                "name": online_name(group),
                "source": shelf.online_source(),
                "entities": [*entities, key],
                "schema": [*keys, Field(name=KEY, dtype=types["string"]), Field(name=PAYLOAD, dtype=types["bytes"])],
                "tags": {PART_OF: name},
            }
            fields = [
                Field(name=column, dtype=types[dtype])
                for column, dtype in group.dtypes.items()
                if column not in (*group.entity, group.event_time)
            ]
            view = FeastView(
                name=name,
                source=shelf.source(),
                entities=entities or None,
                schema=[*keys, *fields],
                tags=self._tags(group, identity),
                description=group.description,
            )
            # Applied twice: as an online view for Feast to make its table, then as one that nobody materializes,
            # for while Feast materializes a view it refuses to serve it (feast-dev/feast#6780).
            self._repository.applied([*entities, key, FeastView(**online, online=True)])
            self._repository.applied([FeastView(**online, online=False), view])
        except BaseException:  # whatever stopped it, a shelf without its views would be found by nobody
            if not before:
                shelf.drop()
            raise

    def _apply_view(self, view: FeatureView) -> None:
        from feast import FeatureService

        feast, name = self._repository.feast, feast_name(view)
        for service in feast.registry.list_feature_services(self._repository.project, allow_cache=False):
            if service.name == name and TAG not in service.tags:
                raise DefinitionError(self._taken("FeatureService", name, view))
        named = {each.definition: _feast_view(each) for each in self.stored() if _is_group(each)}
        parts = catalogue.resolve(named, view).parts
        projections = [feast.get_feature_view(named[group])[list(names)] for group, names, _ in parts if names]
        self._repository.applied(
            [
                FeatureService(
                    name=name,
                    features=projections,
                    tags=self._tags(view, uuid.uuid4().hex[:8]),
                    description=view.description,
                )
            ]
        )

    def _entities(self, names: Sequence[str], group: FeatureGroup) -> list[Any]:
        """The key columns as Feast entities, which all views share. DefinitionError if one is there as something else."""
        from feast import Entity, ValueType

        registry, project = self._repository.feast.registry, self._repository.project
        there = registry.list_entities(project, allow_cache=False)
        for entity in there:
            clashing = entity.name in names or entity.join_key in names
            if clashing and (entity.name != entity.join_key or entity.value_type != ValueType.STRING):
                raise DefinitionError(
                    f"{group.title} has the key {', '.join(group.entity)} of texts; the repository "
                    f"{self._repository.root} has the entity {entity.name!r} with the join key {entity.join_key!r} of type "
                    f"{entity.value_type.name}. Name the key otherwise, or use a repository of its own"
                )
        known = {entity.name: entity for entity in there}
        return [known.get(n) or Entity(name=n, join_keys=[n], value_type=ValueType.STRING) for n in names]

    def _refuse_foreign(self, name: str, online: str, group: FeatureGroup) -> None:
        feast, project = self._repository.feast, self._repository.project
        for view in feast.registry.list_all_feature_views(project, allow_cache=False):
            ours = TAG in view.tags or view.tags.get(PART_OF) == name
            if view.name in (name, online) and not ours:
                raise DefinitionError(self._taken("FeatureView", view.name, group))

    def _taken(self, kind: str, name: str, definition: Definition) -> str:
        return (
            f"the repository {self._repository.root} has a {kind} {name!r} that btcfs did not make; "
            f"{definition.title} would take its place. Use another name or version"
        )

    def _tags(self, definition: Definition, identity: str) -> dict[str, str]:
        return {TAG: json.dumps(definition.to_dict()), IDENTITY: identity, FORMAT: _FORMAT}

    def _listed(self) -> tuple[Sequence[Any], Sequence[Any]]:
        registry, project = self._repository.feast.registry, self._repository.project
        for tries in range(_TRIES):
            try:
                with self._repository.translated("registry"):
                    views = registry.list_feature_views(project, allow_cache=False)
                    return views, registry.list_feature_services(project, allow_cache=False)
            except StoreUnavailable as exc:
                # A registry file that is being written is half a file.
                if type(exc.__cause__).__name__ != "DecodeError" or tries == _TRIES - 1:
                    raise
                time.sleep(0.01)
        raise AssertionError("unreachable")

    def _stored(self, feast_object: Any, online: Any) -> Stored:
        tags = feast_object.tags
        if tags.get(FORMAT) != _FORMAT:
            raise ConfigError(
                f"{feast_object.name!r} in the repository {self._repository.root} was written by another btcfs, in format "
                f"{tags.get(FORMAT)!r}; this one reads format {_FORMAT}. Install that version of btcfs"
            )
        text = tags[TAG]
        if text not in self._parsed:
            self._parsed[text] = definition_from_dict(json.loads(text))
        return Stored(self._parsed[text], tags.get(IDENTITY, ""), online=online)


def _attached(own: Sequence[Stored], views: Sequence[Any], services: Sequence[Any]) -> list[Stored]:
    """What others made, where no definition of btcfs has its name."""
    taken = {(type(each.definition), *each.definition.ref) for each in own}
    others = attached.groups(view for view in views if TAG not in view.tags and PART_OF not in view.tags)
    found = [Stored(f.group, "", f) for f in others if (FeatureGroup, *f.group.ref) not in taken]
    known = [each.foreign.group for each in found if each.foreign is not None]
    made = [attached.view_of(service, known) for service in services if TAG not in service.tags]
    return found + [Stored(view, "") for view in made if view is not None and (FeatureView, *view.ref) not in taken]


def _feast_view(stored: Stored) -> str:
    """The Feast FeatureView of a group."""
    return feast_name(stored.definition) if stored.foreign is None else str(stored.foreign.view.name)


def _is_group(stored: Stored) -> bool:
    return isinstance(stored.definition, FeatureGroup)


def _feast_types() -> dict[str, Any]:
    from feast import types

    return {
        "float64": types.Float64,
        "int64": types.Int64,
        "bool": types.Bool,
        "string": types.String,
        "timestamp": types.UnixTimestamp,
        "bytes": types.Bytes,
    }
