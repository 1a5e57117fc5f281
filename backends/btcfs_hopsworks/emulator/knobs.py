"""What the emulator can be told to do wrong: delays, refusals and faults, each for some calls or until reset."""

from __future__ import annotations

import fnmatch
import threading
from typing import Any

import attrs

KINDS = ("status", "hang", "torn", "drop", "fail", "ignore")


@attrs.define
class Fault:
    """A fault for the next ``times`` calls (None: every call) whose name matches ``where``.

    Names of calls: ``rest GET /project/…`` (the path after ``/hopsworks-api/api``),
    ``flight <method> <what>``, ``kafka bootstrap`` (its address is asked for), ``online <table>`` (one for each row),
    ``mysql <statement>``, ``rdrs POST <path>``, ``job <name>``. A pattern has ``*`` and ``?``.

    Kinds: ``status`` answers with the HTTP ``status`` and ``code``; ``hang`` keeps the socket open and
    silent for ``seconds``; ``torn`` sends half of the answer; ``drop`` closes without an answer;
    ``fail`` fails a job or a row; ``ignore`` leaves a row out.
    """

    kind: str = attrs.field(validator=attrs.validators.in_(KINDS))
    where: str = "rest *"
    times: int | None = 1
    status: int = 500
    code: int | None = None
    seconds: float = 3600.0
    after: int = 0
    """How many matching calls go well first."""


@attrs.define
class Knobs:
    """Settings that hold until changed, and a list of faults taken in order."""

    job_delay: float = 0.0
    """Seconds between the start of a job and its work."""
    online_lag: float = 0.0
    """Seconds between the arrival of a row in Kafka and its upsert online."""
    flight_down: bool = False
    kafka_down: bool = False
    """The broker refuses: producers get an authorisation error or no answer."""
    key_expired: bool = False
    """Every API key is refused, with 401 and code 320004."""
    jobs_stuck: bool = False
    """Jobs start and never end."""
    faults: list[Fault] = attrs.field(factory=list)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)

    def add(self, kind: str, where: str = "rest *", **fields: Any) -> Fault:
        """Adds a fault after those already waiting, and returns it. ValueError or TypeError if it makes no sense."""
        fault = Fault(kind, where, **fields)
        with self._lock:
            self.faults.append(fault)
        return fault

    def take(self, call: str) -> Fault | None:
        """The first fault for this call, counted as used; None if the call may go on."""
        with self._lock:
            for fault in self.faults:
                if not fnmatch.fnmatchcase(call, fault.where):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return attrs.evolve(fault)
        return None

    def change(self, settings: dict[str, Any]) -> None:
        """Changes settings by name; ``faults`` replaces the waiting ones. ValueError if a name or value is wrong."""
        wrong = sorted(set(settings) - set(self.settings()))
        if wrong:
            raise ValueError(f"no knob named {', '.join(wrong)}; there are: {', '.join(self.settings())}")
        faults = [Fault(**fault) for fault in settings["faults"]] if "faults" in settings else None
        for name, value in settings.items():
            expected = type(getattr(Knobs(), name))
            if name != "faults" and not isinstance(value, (int, float) if expected is float else expected):
                raise ValueError(f"knob {name} is {value!r}; expected {expected.__name__}")
        with self._lock:
            for name, value in settings.items():
                setattr(self, name, faults if name == "faults" else value)

    def reset(self) -> None:
        """Everything as it was at the start."""
        fresh = Knobs()
        with self._lock:
            for name in self.settings():
                setattr(self, name, getattr(fresh, name))

    def settings(self) -> dict[str, Any]:
        """The settings and faults by name, as JSON has them."""
        with self._lock:
            names = [a.name for a in attrs.fields(Knobs) if not a.name.startswith("_")]
            return {n: [attrs.asdict(f) for f in self.faults] if n == "faults" else getattr(self, n) for n in names}
