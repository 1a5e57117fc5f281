"""The rules by which the definitions in one store live together, the same in every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from btcfs import instants
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.differences import differences
from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.store import Commit


@attrs.frozen
class ResolvedView:
    """A view with its groups: which features come from which group, in the view's order.

    ``parts`` pairs each group with its feature names and their positions in the vector.
    """

    view: FeatureView
    parts: tuple[tuple[FeatureGroup, tuple[str, ...], tuple[int, ...]], ...]

    @property
    def leading(self) -> FeatureGroup:
        """The group whose entity and time the view is looked up by."""
        return self.parts[0][0]


def find_group(stored: Iterable[Definition], name: str, version: int | None = None) -> FeatureGroup:
    """The stored group of that name, its newest version unless one is named. NotFound otherwise."""
    found = _find([d for d in stored if isinstance(d, FeatureGroup)], "feature group", name, version)
    assert isinstance(found, FeatureGroup)
    return found


def find_view(stored: Iterable[Definition], name: str, version: int | None = None) -> FeatureView:
    """The stored view of that name, its newest version unless one is named. NotFound otherwise."""
    found = _find([d for d in stored if isinstance(d, FeatureView)], "feature view", name, version)
    assert isinstance(found, FeatureView)
    return found


def same(stored: Iterable[Definition], definition: Definition) -> Definition:
    """The stored definition of the same kind, name and version, if its content is equal.

    NotFound if there is none; DefinitionError, with the differences, if the content differs.
    """
    candidates = list(stored)
    finder = find_group if isinstance(definition, FeatureGroup) else find_view
    found = finder(candidates, definition.name, definition.version)
    refuse_change(candidates, found, definition)
    return found


def chosen_columns(group: FeatureGroup, columns: Sequence[str] | None) -> tuple[str, ...]:
    """The columns asked for, in that order; all of the group's for None. SchemaError if it lacks one."""
    chosen = group.columns if columns is None else tuple(columns)
    refuse_unknown(group, "columns", chosen, group.columns)
    return chosen


def check_entity(group: FeatureGroup, entity: Mapping[str, str] | None) -> None:
    """Raise SchemaError if rows are asked for by what is no entity column of the group."""
    refuse_unknown(group, "entity columns", entity or {}, group.entity)


def refuse_unknown(group: FeatureGroup, what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """SchemaError with the names that the group has not, and those that it has, if there are any."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SchemaError(f"{group.title} has no {what} {', '.join(unknown)}; it has {', '.join(known) or 'none'}")


def check_commit(group: FeatureGroup, newest: Commit | None, commit: Commit) -> None:
    """Raise SchemaError unless a commit of another store may be recorded after the group's newest here."""
    instants.to_micros(commit.committed_at)
    if not commit.id:
        raise SchemaError(f"{group.title}: a commit needs a name; give the id that its own store gave it")
    if newest is None or commit == newest or (commit.id != newest.id and commit.committed_at > newest.committed_at):
        return
    raise SchemaError(
        f"{group.title}: commit {commit.id} of {commit.committed_at.isoformat()} is not later than the newest, "
        f"{newest.id} of {newest.committed_at.isoformat()}; write commits oldest first, to a group without others"
    )


def find_commit(group: FeatureGroup, commits: Iterable[Commit], wanted: Commit) -> Commit:
    """The commit of that name. NotFound otherwise."""
    for commit in commits:
        if commit.id == wanted.id:
            return commit
    raise NotFound(f"{group.title} has no commit {wanted.id!r}; commits(group) gives those it has")


def check_apply(stored: Iterable[Definition], definition: Definition) -> None:
    """Raise unless the definition may be applied beside those stored."""
    definitions = list(stored)
    for other in definitions:
        if type(other) is type(definition) and other.ref == definition.ref:
            refuse_change(definitions, other, definition)
    if isinstance(definition, FeatureView):
        resolve(definitions, definition)


def refuse_change(stored: Iterable[Definition], old: Definition, new: Definition) -> None:
    """DefinitionError with the differences and the next free version, if there are any."""
    lines = differences(old, new)
    if lines:
        free = 1 + max(d.version for d in stored if type(d) is type(new) and d.name == new.name)
        raise DefinitionError(
            f"{new.title} is stored with another definition and a version never changes: "
            f"{'; '.join(lines)}. Use version {free} for the new definition"
        )


def resolve(stored: Iterable[Definition], view: FeatureView) -> ResolvedView:
    """Match a view's features to its groups.

    NotFound if a group is not stored; DefinitionError if a feature is in none or several of them,
    is not numeric, or if a later group has entity columns that the first has not.
    """
    definitions = list(stored)
    groups = [find_group(definitions, name, version) for name, version in view.groups]
    for group in groups[1:]:
        extra = [name for name in group.entity if name not in groups[0].entity]
        if extra:
            raise DefinitionError(
                f"view {view.title}: {group.title} needs the key {', '.join(extra)}, which its first group "
                f"{groups[0].title} has not"
            )
    columns: list[list[tuple[str, int]]] = [[] for _ in groups]
    for position, name in enumerate(view.features):
        owners = [index for index, group in enumerate(groups) if name in group.feature_names]
        if len(owners) != 1:
            where = "no group" if not owners else " and ".join(groups[index].title for index in owners)
            raise DefinitionError(f"view {view.title}: feature {name!r} is in {where}, expected in exactly one")
        feature = next(f for f in groups[owners[0]].features if f.name == name)
        if not feature.numeric:
            raise DefinitionError(f"view {view.title}: feature {name!r} is a {feature.dtype}; a vector holds numbers")
        columns[owners[0]].append((name, position))
    parts = tuple(
        (group, tuple(name for name, _ in part), tuple(position for _, position in part))
        for group, part in zip(groups, columns, strict=True)
        if part or group is groups[0]
    )
    return ResolvedView(view, parts)


def dependents(stored: Iterable[Definition], group: FeatureGroup) -> list[FeatureView]:
    """The stored views that use this version of the group."""
    return [d for d in stored if isinstance(d, FeatureView) and group.ref in d.groups]


def doomed(stored: Iterable[Definition], definition: Definition, *, all_versions: bool) -> list[Definition]:
    """What a delete removes. NotFound if nothing; DefinitionError if a view still uses one of them."""
    definitions = list(stored)
    if not all_versions:
        finder = find_group if isinstance(definition, FeatureGroup) else find_view
        victims: list[Definition] = [finder(definitions, definition.name, definition.version)]
    else:
        victims = [d for d in definitions if type(d) is type(definition) and d.name == definition.name]
        if not victims:
            same(definitions, definition)
    for victim in victims:
        users = dependents(definitions, victim) if isinstance(victim, FeatureGroup) else []
        if users:
            raise DefinitionError(
                f"{victim.title} is used by {', '.join(view.title for view in users)}; delete the views first"
            )
    return victims


def ordered(definitions: Iterable[Definition]) -> list[Definition]:
    """Groups before views, then by name and version."""
    return sorted(definitions, key=lambda d: (isinstance(d, FeatureView), d.name, d.version))


def _find(candidates: list[Definition], kind: str, name: str, version: int | None) -> Definition:
    named = sorted((d for d in candidates if d.name == name), key=lambda d: d.version)
    if not named:
        known = ", ".join(sorted({d.name for d in candidates})) or "none"
        raise NotFound(f"no {kind} named {name!r}; stored: {known}")
    if version is None:
        return named[-1]
    for definition in named:
        if definition.version == version:
            return definition
    raise NotFound(f"no version {version} of {kind} {name!r}; stored: {', '.join(str(d.version) for d in named)}")
