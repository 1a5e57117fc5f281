"""The jobs of the emulated cluster: each runs in a thread, with the delays and failures of the knobs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from btcfs_hopsworks.emulator.call_log import Call, CallLog
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Execution, Job
from btcfs_hopsworks.emulator.state import State, now_ms, replaced

_log = logging.getLogger(__name__)

Work = Callable[[Mapping[str, Any]], str]
"""What a job of one kind does with its target; returns what it prints."""

FINAL_STATUSES = {"FINISHED": "SUCCEEDED", "FAILED": "FAILED", "KILLED": "KILLED"}


class JobFailed(Exception):
    """A job was told to fail, or could not do its work."""


@attrs.define
class Jobs:
    """Runs executions; ``works`` has the work of each kind of job."""

    state: State
    knobs: Knobs
    calls: CallLog
    works: dict[str, Work] = attrs.field(factory=dict)
    _stopped: threading.Event = attrs.field(factory=threading.Event, repr=False)
    _threads: list[threading.Thread] = attrs.field(factory=list, repr=False)

    def define(self, project_id: int, name: str, kind: str, target: Mapping[str, Any]) -> Job:
        """The job of that name, made if there is none."""
        with self.state.lock:
            known = self.state.job_named(project_id, name)
            job = Job(known.id if known else self.state.next_id(), project_id, name, kind, dict(target), now_ms())
            self.state.jobs[job.id] = job
        return job

    def start(self, job: Job, args: str = "") -> Execution:
        """Begins a run and returns at once."""
        project = self.state.project_of(job)
        with self.state.lock:
            number = self.state.next_id()
            folder = f"/Projects/{project.name}/Logs/Spark/{job.name}/{number}"
            execution = Execution(
                number, job.id, args, now_ms(), stdout=f"{folder}/stdout.log", stderr=f"{folder}/stderr.log"
            )
            self.state.executions[number] = execution
        thread = threading.Thread(target=self._run, args=(job, execution), name=f"job {job.name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return execution

    def run(self, job: Job, args: str = "") -> Execution:
        """Runs a job to its end, and returns how it ended."""
        execution = self.start(job, args)
        while True:
            now = self.state.executions[execution.id]
            if now.ended_ms is not None:
                return now
            if self._stopped.wait(0.005):
                return self.state.executions[execution.id]

    def stop(self) -> None:
        """Ends waiting jobs as killed, and waits for those that work."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _run(self, job: Job, execution: Execution) -> None:
        began = time.monotonic()
        self._change(execution, state="RUNNING")
        stdout, stderr, state = "", "", "FINISHED"
        try:
            stdout = self._work(job)
        except JobFailed as exc:
            stderr, state = str(exc), "FAILED"
        except Exception as exc:  # noqa: BLE001 - whatever a job's work raises ends that job, as on a cluster
            _log.exception("job %s failed", job.name)
            stderr, state = repr(exc), "FAILED"
        if self._stopped.is_set() and state == "FAILED":
            state = "KILLED"
        self._finish(execution, state, stdout, stderr)
        self.calls.record(Call("job", job.name, None, (time.monotonic() - began) * 1000))

    def _work(self, job: Job) -> str:
        fault = self.knobs.take(f"job {job.name}")
        if fault is not None and fault.kind == "hang":
            self._wait(fault.seconds)
        self._wait(self.knobs.job_delay)
        while self.knobs.jobs_stuck:
            self._wait(0.05)
        if fault is not None and fault.kind == "fail":
            raise JobFailed(f"job {job.name} was told to fail")
        if job.kind not in self.works:
            raise JobFailed(f"the emulator does not run jobs of kind {job.kind}")
        return self.works[job.kind](job.target)

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise JobFailed("the cluster is shutting down")

    def _finish(self, execution: Execution, state: str, stdout: str, stderr: str) -> None:
        # Clients look for the logs once the state is terminal, and wait minutes for them if they are not there.
        for path, text in ((execution.stdout, stdout), (execution.stderr, stderr)):
            log = self.state.file(path)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(text)
        # finalStatus is seen no later than the state: a client stops polling on either.
        self._change(execution, final_status=FINAL_STATUSES[state])
        self._change(execution, state=state, ended_ms=now_ms())

    def _change(self, execution: Execution, **changes: Any) -> None:
        with self.state.lock:
            if execution.id in self.state.executions:
                replaced(self.state.executions, execution.id, **changes)
