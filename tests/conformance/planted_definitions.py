"""Memory stores with one bug each in applying or deleting definitions, and the law that catches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import DefinitionError
from btcfs.memory import MemoryStore


class RefusesDescriptions(MemoryStore):
    """A new description counts as another definition."""

    def apply(self, definition: Definition) -> None:
        for stored in self.definitions():
            if type(stored) is type(definition) and stored.ref == definition.ref and stored != definition:
                catalogue.refuse_change(self.definitions(), stored, definition)
                raise DefinitionError("the description changed")
        super().apply(definition)


class KeepsOldDescriptions(MemoryStore):
    """A new description is dropped."""

    def apply(self, definition: Definition) -> None:
        try:
            catalogue.same(self.definitions(), definition)
        except LookupError:
            super().apply(definition)


class ReusesAVersion(MemoryStore):
    """Another definition under a stored version takes its place."""

    def apply(self, definition: Definition) -> None:
        contents = self._open()
        kept = [d for d in contents.definitions if type(d) is not type(definition) or d.ref != definition.ref]
        catalogue.check_apply(kept, definition)
        contents.definitions = kept
        super().apply(definition)


class AppliesAnyView(MemoryStore):
    """A view is not compared with its groups."""

    def apply(self, definition: Definition) -> None:
        contents = self._open()
        if isinstance(definition, FeatureGroup):
            super().apply(definition)
        else:
            contents.definitions = catalogue.ordered([*contents.definitions, definition])


class OrdersDefinitionsByApplication(MemoryStore):
    """Definitions come in the order in which they were applied."""

    def definitions(self) -> Any:
        order = self.__dict__.setdefault("_order", [])
        return sorted(super().definitions(), key=lambda d: order.index(d.ref) if d.ref in order else -1)

    def apply(self, definition: Definition) -> None:
        self.__dict__.setdefault("_order", []).append(definition.ref)
        super().apply(definition)


class DeletesDefinitionsOnly(MemoryStore):
    """The rows of a deleted group come back with its name."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        tables = dict(self._open().tables)
        super().delete(definition, all_versions=all_versions)
        self._open().tables = tables


class DeletesWhatIsInUse(MemoryStore):
    """A group goes although a view uses it."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        contents = self._open()
        before = contents.definitions
        try:
            contents.definitions = [d for d in before if type(d) is type(definition)]
            super().delete(definition, all_versions=all_versions)
        finally:
            others = [d for d in before if type(d) is not type(definition)]
            contents.definitions = catalogue.ordered([*contents.definitions, *others])


class DeletesEveryVersion(MemoryStore):
    """The other versions go with the one that was meant."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        super().delete(definition, all_versions=True)


class DeletesNothingInSilence(MemoryStore):
    """Deleting what is not stored is no error."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        if any(type(d) is type(definition) and d.ref == definition.ref for d in self.definitions()):
            super().delete(definition, all_versions=all_versions)


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    RefusesDescriptions: "test_a_new_description_is_taken",
    KeepsOldDescriptions: "test_a_new_description_is_taken",
    ReusesAVersion: "test_a_version_never_changes",
    AppliesAnyView: "test_a_view_must_fit_its_groups",
    OrdersDefinitionsByApplication: "test_definitions_are_ordered",
    DeletesDefinitionsOnly: "test_a_deleted_history_is_gone",
    DeletesWhatIsInUse: "test_a_group_in_use_stays",
    DeletesEveryVersion: "test_one_version_goes_alone",
    DeletesNothingInSilence: "test_deleting_what_is_not_stored_is_not_found",
}
