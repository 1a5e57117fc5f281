"""The project's files: stat, list, make folders, upload in chunks, download, move and remove."""

from __future__ import annotations

import re
import shutil
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, project_of


def full_path(server: Server, call: Call, given: str) -> str:
    """A HopsFS path from what clients write: absolute, with a scheme, or below the project."""
    bare = re.sub(r"^\w+://[^/]*", "", given)
    if bare.startswith(("/Projects/", "Projects/")):
        return "/" + bare.lstrip("/")
    return f"/Projects/{project_of(server, call).name}/{bare.lstrip('/')}"


def local(server: Server, call: Call, given: str) -> Path:
    """The file of a path; Refused with 110011 if it leads outside."""
    try:
        return server.state.file(full_path(server, call, given))
    except PermissionError as exc:
        raise Refused(403, 110050, "Operation not permitted.", str(exc)) from exc


def found(server: Server, call: Call, given: str) -> Path:
    path = local(server, call, given)
    if not path.exists():
        raise Refused(404, 110011, "Path not found.", f"path: {full_path(server, call, given)}")
    return path


def get(server: Server, call: Call) -> Answer:
    """What is known of a path, or what its folder holds if ``action=listing``."""
    path = found(server, call, call.path["path"])
    if call.query.get("action") != "listing":
        return inode(server, path)
    if not path.is_dir():
        raise Refused(400, 110018, "Not a directory.", call.path["path"])
    children = sorted(path.iterdir())
    begun, limit = int(call.query.get("offset", 0)), int(call.query.get("limit", 1000))
    shown = [inode(server, child) for child in children[begun : begun + limit]]
    return {"count": len(children), "items": shown}


def inode(server: Server, path: Path) -> dict[str, Any]:
    """One file or folder as the API answers it."""
    hopsfs = "/" + str(path.relative_to(server.state.folder.resolve()))
    about = path.stat()
    return {
        "href": hopsfs,
        "attributes": {
            "id": about.st_ino,
            "name": path.name,
            "path": hopsfs,
            "parentPath": str(Path(hopsfs).parent),
            "dir": path.is_dir(),
            "size": about.st_size,
            "owner": "local",
            "group": "local",
            "permission": "rwxrwx---",
            "modificationTime": iso(int(about.st_mtime * 1000)),
            "underConstruction": False,
        },
        # Only what the project itself has: a client refuses to take one of these for a model's folder.
        **({"datasetType": "DATASET"} if len(Path(hopsfs).parts) == 4 else {}),
        "permission": "EDITABLE",
        "zipState": "NONE",
    }


def post(server: Server, call: Call) -> Answer:
    """``action`` create, copy or move."""
    action, given = call.query.get("action", ""), call.path["path"]
    if action.lower() == "create":
        path = local(server, call, given)
        if path.exists():
            raise Refused(400, 110001, "Dataset already exists.", given)
        path.mkdir(parents=True)
        return inode(server, path)
    source, destination = found(server, call, given), local(server, call, call.query.get("destination_path", ""))
    destination.parent.mkdir(parents=True, exist_ok=True)
    if action.lower() == "move":
        shutil.move(str(source), str(destination))
    elif action.lower() == "copy":
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, destination)
    else:
        raise Refused(400, 110002, "The emulator does not know this action", action)
    return None


def delete(server: Server, call: Call) -> Answer:
    path = found(server, call, call.path["path"])
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def download(server: Server, call: Call) -> Answer:
    return FileResponse(found(server, call, call.path["path"]))


def upload(server: Server, call: Call) -> Answer:
    """One chunk of a file; the file appears when the last of its chunks has come."""
    fields, content = _form(call)
    name, number, total = (
        fields["flowFilename"],
        int(fields["flowChunkNumber"]),
        int(fields.get("flowTotalChunks") or fields.get("flowTotalChunk") or 1),
    )
    folder = local(server, call, call.path["path"])
    folder.mkdir(parents=True, exist_ok=True)
    chunks = server.state.folder / ".uploads" / re.sub(r"\W+", "_", f"{folder}_{fields['flowIdentifier']}")
    chunks.mkdir(parents=True, exist_ok=True)
    (chunks / str(number)).write_bytes(content)
    with server.state.lock:
        if chunks.exists() and len(list(chunks.iterdir())) == total:
            with (folder / name).open("wb") as whole:
                for position in range(1, total + 1):
                    whole.write((chunks / str(position)).read_bytes())
            shutil.rmtree(chunks)
    return None


def _form(call: Call) -> tuple[dict[str, str], bytes]:
    """The fields and the one file of a multipart body."""
    header = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(_class=EmailMessage, policy=HTTP).parsebytes(header + call.body)
    fields, content = {}, None
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if part.get_filename() is not None:
            content = payload
        else:
            fields[str(part.get_param("name", header="content-disposition"))] = payload.decode()
    if content is None or "flowFilename" not in fields:
        raise Refused(400, 110046, "Error occurred during file upload.", "the body has no file")
    return fields, content
