"""What the fields of definitions have in common: names, versions, sequences made tuples, fingerprints."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import attrs

from btcfs.errors import DefinitionError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def valid_name(_: object, attribute: attrs.Attribute[Any], name: str) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DefinitionError(
            f"{attribute.name} {name!r} is not lower snake case of at most 63 characters, such as 'rsi_14'"
        )


def valid_version(_: object, attribute: attrs.Attribute[Any], version: int) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DefinitionError(f"{attribute.name} {version!r} is not a whole number of at least 1")


def fingerprint_of(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def to_strings(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
