"""What was deleted from a store: a feature group of its own, so that a version is never used again for anything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from btcfs.definitions import TIME_KEY, Definition, Feature, FeatureGroup
from btcfs.errors import DefinitionError
from btcfs.store import FeatureStore

if TYPE_CHECKING:
    import pandas as pd

TOMBSTONES = FeatureGroup(
    name="btcfs_deleted",
    version=1,
    primary_key=("kind", "name", "version", TIME_KEY),
    features=[
        Feature("fingerprint", "string", description="of the definition that was deleted"),
        Feature("rows", "int64", unit="rows", description="that it held"),
        Feature("reason", "string", description="why it was deleted although models use it"),
        Feature("models", "string", description="the model versions that used it"),
        Feature("kept_in", "string", description="the folder that its rows are kept in"),
        Feature("kept_until", "timestamp", description="until when they are"),
    ],
    description="Definitions that were deleted; timestamp and event time are when.",
)


@attrs.frozen
class Tombstone:
    """A definition that was deleted, and where its rows are kept, None if nowhere."""

    kind: str
    name: str
    version: int
    deleted_at: datetime
    fingerprint: str
    rows: int
    reason: str | None = None
    models: tuple[str, ...] = ()
    kept_in: str | None = None
    kept_until: datetime | None = None

    @property
    def title(self) -> str:
        return f"{self.name} v{self.version}"

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def kind_of(definition: Definition) -> str:
    """``group`` or ``view``."""
    return "group" if isinstance(definition, FeatureGroup) else "view"


def bury(store: FeatureStore, tombstones: Sequence[Tombstone]) -> None:
    """Write down what is about to be deleted."""
    store.apply(TOMBSTONES)
    store.write(TOMBSTONES, _rows(tombstones))


def tombstones(store: FeatureStore, stored: Iterable[Definition] | None = None) -> list[Tombstone]:
    """All that was ever deleted, the newest first; ``stored`` are the store's definitions if they are at hand."""
    if TOMBSTONES not in (store.definitions() if stored is None else stored):
        return []
    rows = store.read(TOMBSTONES).sort_values(TIME_KEY, ascending=False)
    return [_tombstone(row) for row in rows.to_dict("records")]


def refuse_reuse(store: FeatureStore, definition: Definition, stored: Sequence[Definition] | None = None) -> None:
    """DefinitionError, with the next free version, if that one was deleted with another content.

    The same content may come back; whatever is stored is not asked about.
    """
    known = store.definitions() if stored is None else stored
    kind = kind_of(definition)
    if any(kind_of(d) == kind and d.ref == definition.ref for d in known):
        return
    buried = [t for t in tombstones(store, known) if t.kind == kind and t.name == definition.name]
    same = [t for t in buried if t.version == definition.version]
    if same and definition.fingerprint not in {t.fingerprint for t in same}:
        taken = {t.version for t in buried} | {d.version for d in known if d.name == definition.name}
        raise DefinitionError(
            f"{definition.title} was deleted {same[0].deleted_at:%Y-%m-%d} with another definition, and a version is never "
            f"used again; use version {max(taken) + 1}"
        )


def _rows(buried: Sequence[Tombstone]) -> pd.DataFrame:
    import pandas as pd

    made = [{**attrs.asdict(t), TIME_KEY: t.deleted_at, "event_time": t.deleted_at} for t in buried]
    rows = pd.DataFrame(made).assign(models=[", ".join(t.models) for t in buried])
    rows["version"] = rows["version"].astype(str)
    for name in (TIME_KEY, "event_time", "kept_until"):
        rows[name] = pd.to_datetime(rows[name], utc=True).astype("datetime64[us, UTC]")
    return rows[list(TOMBSTONES.columns)]


def _tombstone(row: dict[str, Any]) -> Tombstone:
    import pandas as pd

    plain: dict[str, Any] = {name: None if pd.isna(value) else value for name, value in row.items()}
    until = plain["kept_until"]
    return Tombstone(
        plain["kind"],
        plain["name"],
        int(plain["version"]),
        plain[TIME_KEY].to_pydatetime(),
        plain["fingerprint"],
        int(plain["rows"]),
        plain["reason"],
        tuple(filter(None, (plain["models"] or "").split(", "))),
        plain["kept_in"],
        None if until is None else until.to_pydatetime(),
    )
