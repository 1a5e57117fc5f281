"""Jobs and their executions."""

from __future__ import annotations

from typing import Any

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import Execution, Job
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, items, project_of
from btcfs_hopsworks.emulator.state import now_ms


def job_of(server: Server, call: Call) -> Job:
    found = server.state.job_named(project_of(server, call).id, call.path["job"])
    if found is None:
        raise Refused(404, 130009, "Job not found.", f"job name: {call.path['job']}")
    return found


def job_fields(server: Server, job: Job) -> dict[str, Any]:
    """A job; the client takes the project and the name out of ``href``."""
    return {
        "href": f"{server.url}/hopsworks-api/api/project/{job.project_id}/jobs/{job.name}",
        "id": job.id,
        "name": job.name,
        "creationTime": iso(job.created_ms),
        "config": {
            "type": "sparkJobConfiguration",
            "appName": job.name,
            "defaultArgs": f"-op {job.kind}",
            "mainClass": "com.logicalclocks.utils.MainClass",
            "jobType": "SPARK",
        },
        "jobType": "SPARK",
        "creator": {"email": "user@localhost", "firstname": "Local", "lastname": "User"},
    }


def execution_fields(execution: Execution) -> dict[str, Any]:
    ended = execution.ended_ms or now_ms()
    return {
        "id": execution.id,
        "state": execution.state,
        "finalStatus": execution.final_status,
        "submissionTime": iso(execution.submitted_ms),
        "stdoutPath": execution.stdout,
        "stderrPath": execution.stderr,
        "args": execution.args,
        "appId": f"application_{execution.id}",
        "hdfsUser": "local",
        "progress": 1.0 if execution.ended_ms else 0.0,
        "duration": ended - execution.submitted_ms,
        "filesToRemove": [],
    }


def one(server: Server, call: Call) -> Answer:
    return job_fields(server, job_of(server, call))


def listed(server: Server, call: Call) -> Answer:
    project = project_of(server, call)
    with server.state.lock:
        found = [job for job in server.state.jobs.values() if job.project_id == project.id]
    return items([job_fields(server, job) for job in found], call.url)


def delete(server: Server, call: Call) -> Answer:
    job = job_of(server, call)
    with server.state.lock:
        server.state.jobs.pop(job.id, None)
    return None


def start(server: Server, call: Call) -> Answer:
    job = job_of(server, call)
    return execution_fields(server.jobs.start(job, call.body.decode(errors="replace")))


def executions(server: Server, call: Call) -> Answer:
    """The runs of a job, newest first."""
    found = server.state.executions_of(job_of(server, call))[::-1]
    begun = int(call.query.get("offset", 0))
    limit = int(call.query.get("limit", len(found)) or len(found))
    return items([execution_fields(execution) for execution in found[begun : begun + limit]], call.url)


def execution(server: Server, call: Call) -> Answer:
    job = job_of(server, call)
    found = server.state.executions.get(int(call.path["execution"]))
    if found is None or found.job_id != job.id:
        raise Refused(404, 130010, "Execution not found.", f"execution: {call.path['execution']}")
    return execution_fields(found)
