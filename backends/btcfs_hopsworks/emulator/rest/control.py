"""``/_emulator``: the knobs and the call log, over HTTP and without a key."""

from __future__ import annotations

import attrs

from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server


def knobs(server: Server, call: Call) -> Answer:
    return server.knobs.settings()


def change_knobs(server: Server, call: Call) -> Answer:
    """Changes the settings in the body; ``faults`` replaces the waiting faults."""
    try:
        server.knobs.change(call.object())
    except (ValueError, TypeError) as exc:
        raise Refused(400, 0, "Illegal knob", str(exc)) from exc
    return server.knobs.settings()


def add_fault(server: Server, call: Call) -> Answer:
    """Adds the fault in the body after those waiting."""
    fields = call.object()
    try:
        server.knobs.add(**fields)
    except (ValueError, TypeError) as exc:
        raise Refused(400, 0, "Illegal fault", str(exc)) from exc
    return server.knobs.settings()


def reset_knobs(server: Server, call: Call) -> Answer:
    server.knobs.reset()
    return server.knobs.settings()


def calls(server: Server, call: Call) -> Answer:
    found = server.calls.calls(call.query.get("plane"))
    return {"count": len(found), "items": [attrs.asdict(one) for one in found]}


def clear_calls(server: Server, call: Call) -> Answer:
    server.calls.clear()
    return None
