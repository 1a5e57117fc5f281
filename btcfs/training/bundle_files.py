"""The files of a bundle: written with their SHA-256, read only if every byte is what was written."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from btcfs import durable
from btcfs.errors import DefinitionError, NotFound, SchemaError, StoreUnavailable

SUMS = "SHA256SUMS"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = re.compile(rf"{_PART}(/{_PART})*")
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_PART}(?:/{_PART})*)")


def write_files(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write the files, named by relative POSIX paths, and their list; returns the SHA-256 of the list.

    ``sha256sum -c SHA256SUMS`` checks them too. DefinitionError for a path that leads elsewhere.
    """
    for name, content in files.items():
        if _PATH.fullmatch(name) is None:
            raise DefinitionError(f"{name!r} is not a file name of letters, digits, '.', '_' and '-' in a bundle")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, content)
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    durable.write(folder / SUMS, sums)
    return hashlib.sha256(sums).hexdigest()


def read_files(folder: Path) -> tuple[dict[str, bytes], str]:
    """Every listed file's content, and the SHA-256 of the list.

    NotFound if there is no bundle, SchemaError naming the file if one is missing or not what was
    written. What is returned is what was checked: nothing is read twice.
    """
    sums = _read(folder / SUMS, f"{folder} holds no model bundle; btcfs models list shows those that are there")
    files = {}
    for name, expected in _listed(folder / SUMS, sums).items():
        content = _read(folder / name, None)
        if hashlib.sha256(content).hexdigest() != expected:
            raise SchemaError(
                f"{folder / name} is not the file that was saved (SHA-256 differs); the bundle is not used: "
                "restore it from a copy, or train anew"
            )
        files[name] = content
    return files, hashlib.sha256(sums).hexdigest()


def _read(path: Path, absent: str | None) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as exc:
        if absent is not None:
            raise NotFound(absent) from exc
        raise SchemaError(f"{path} is missing from the bundle; restore it from a copy, or train anew") from exc
    except OSError as exc:
        raise StoreUnavailable(f"cannot read {path}: {exc}") from exc


def _listed(path: Path, content: bytes) -> dict[str, str]:
    text = content.decode("ascii", errors="replace")
    lines = [_LINE.fullmatch(line) for line in text.removesuffix("\n").split("\n")]
    if not text.endswith("\n") or any(line is None for line in lines):
        raise SchemaError(f"{path} is not a list of SHA-256 sums; the bundle is not used")
    return {line.group(2): line.group(1) for line in lines if line is not None}


def arrays_to_bytes(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The arrays as an .npz file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    # numpy's annotations take any name for that of its one option.
    np.savez_compressed(buffer, **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    return buffer.getvalue()


def arrays_from_bytes(content: bytes, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an .npz file; objects are refused, so nothing in it is executed. SchemaError if it is not one."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as exc:
        raise SchemaError(f"{name} is not a file of plain arrays: {exc}") from exc


def json_to_bytes(content: Any) -> bytes:
    """JSON with sorted keys. A number that is not finite is written as null; TypeError for what has no JSON form."""
    return (json.dumps(_plain(content), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def json_from_bytes(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in a file. SchemaError if it is not one."""
    try:
        value = json.loads(content)
    except ValueError as exc:
        raise SchemaError(f"{name} is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise SchemaError(f"{name} holds {type(value).__name__}, expected an object")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form")
