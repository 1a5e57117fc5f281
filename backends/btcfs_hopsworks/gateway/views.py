"""Feature views of Hopsworks, and the vectors they serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from btcfs_hopsworks.gateway.session import Session


def find(session: Session, name: str, version: int) -> Any | None:
    """The handle of a view, None if there is none."""
    return session.call(
        f"feature view {name} v{version}", lambda: session.store.get_feature_view(name, version) or None, quiet=True
    )


def create(session: Session, name: str, version: int, group: Any, columns: Sequence[str], description: str) -> Any:
    """Make a view of these columns of one group."""

    def make() -> Any:
        return session.store.create_feature_view(
            name=name, version=version, query=group.select(list(columns)), description=description[:256]
        )

    return session.call(f"creating feature view {name} v{version}", make, quiet=True)


def delete(session: Session, name: str, version: int) -> None:
    """Remove a view; nothing if it is not there."""
    view = find(session, name, version)
    if view is not None:
        session.call(f"deleting feature view {name} v{version}", view.delete, quiet=True)


def start_serving(session: Session, view: Any) -> None:
    """Open the connections to the online store; once per view and process, for the client never closes the old ones."""
    session.call(
        f"opening the online store for {view.name}",
        lambda: view.init_serving(training_dataset_version=1, external=True, options={"minsize": 1, "maxsize": 4}),
        quiet=True,
    )


def vector(session: Session, view: Any, keys: Mapping[str, Any]) -> list[Any] | None:
    """The values of one key in the view's order, None if there is no such row."""
    limit = session.address.timeout

    def look() -> list[Any] | None:
        found = view.get_feature_vector(serving_keys=dict(keys), transform=False, timeout=limit)
        return None if found is None else list(found)

    return session.call(f"vector of {view.name}", look)


def vectors(session: Session, view: Any, keys: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The values of those keys that have a row, in no promised order: the client leaves the others out."""
    limit = session.address.timeout

    def look() -> list[list[Any]]:
        found = view.get_feature_vectors(serving_keys=[dict(key) for key in keys], transform=False, timeout=limit)
        return [list(values) for values in found]

    return session.call(f"{len(keys)} vectors of {view.name}", look)


def names(view: Any) -> list[str]:
    """The features of a vector, in order."""
    return [feature.name for feature in view.schema if not feature.label]


def url(session: Session, name: str, version: int) -> str:
    """The page of a view."""
    return f"{session.url()}/fs/{session.store.id}/fv/{name}/version/{version}"
