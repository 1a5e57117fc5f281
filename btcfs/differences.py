"""What separates two definitions of one name, in words."""

from __future__ import annotations

from typing import Any

from btcfs.definitions import Definition


def differences(old: Definition, new: Definition) -> list[str]:
    """What separates two definitions, one line each, descriptions left aside; empty if nothing does."""
    if old.fingerprint == new.fingerprint:
        return []
    before, after = old.to_dict(), new.to_dict()
    lines = []
    for key in (key for key in before if key not in ("kind", "name", "version", "description")):
        if before[key] == after.get(key):
            continue
        if key in ("features", "indicators"):
            lines += _list_differences(key[:-1], before[key], after[key])
        else:
            lines.append(f"{key}: {before[key]!r} became {after[key]!r}")
    return lines or ["the order of the columns changed"]


def _list_differences(what: str, before: list[Any], after: list[Any]) -> list[str]:
    def by_name(items: list[Any]) -> dict[str, Any]:
        return {
            item if isinstance(item, str) else item["name"]: item
            if isinstance(item, str)
            else {key: value for key, value in item.items() if key != "description"}
            for item in items
        }

    old, new = by_name(before), by_name(after)
    lines = [f"{what} {name} was removed" for name in old if name not in new]
    lines += [f"{what} {name} was added" for name in new if name not in old]
    lines += [
        f"{what} {name}: {old[name]} became {new[name]}" for name in old if name in new and old[name] != new[name]
    ]
    if not lines and list(old) != list(new):
        lines.append(f"the order of the {what}s changed")
    return lines
