"""The OpenAPI document, made from the same types that decode and encode the bodies."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from btcfs import __version__
from btcfs.serving import bodies
from btcfs.serving.csv_batch import FIELDS, MEDIA_TYPE

_JSON = "application/json"
_PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"


@cache
def document() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    types = (
        bodies.PredictionRequest,
        bodies.BatchRequest,
        bodies.Activation,
        bodies.PredictionResponse,
        bodies.VectorResponse,
        bodies.WindowResponse,
        bodies.Problem,
    )
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "btcfs predictor",
            "version": __version__,
            "description": "Predictions from stored features.",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    predict = _post("Predict from a candle, an instant or the newest candle", "PredictionRequest", "PredictionResponse")
    symbol = _query("symbol", "market; the configured one if left out")
    return {
        "/predict": {"post": {**predict, "operationId": "predict"}},
        "/v1/predict": {"post": {**predict, "operationId": "predict_v1"}},
        "/v1/predict/batch": {"post": _batch()},
        "/v1/features": {
            "get": _get(
                "A stored vector",
                "VectorResponse",
                symbol,
                _query("timestamp", "any instant inside the candle", "date-time"),
                _query("known_at", "the newest candle known at that instant", "date-time"),
            )
        },
        "/v1/window": {
            "get": _get(
                "The last n vectors",
                "WindowResponse",
                symbol,
                {
                    **_query("n", "rows"),
                    "schema": {"type": "integer", "minimum": 1, "maximum": bodies.MOST_WINDOW_ROWS},
                },
                _query("end", "any instant inside the last candle", "date-time"),
            )
        },
        "/v1/model": {"get": _get("The model that answers", None)},
        "/v1/models": {"get": _get("All versions", None)},
        "/v1/models/{version}": {"get": _get("One version", None, _version())},
        "/v1/models/{version}/activate": {
            "post": {
                **_post("Activate a version", "Activation", None, required=False),
                **_ADMIN,
                "parameters": [_version()],
            }
        },
        "/v1/reload": {"post": {**_get("Load the active version anew", None), **_ADMIN}},
        "/health": {"get": _get("The process answers", None)},
        "/ready": {"get": _get("A model is loaded and the store answers", None)},
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "responses": {"200": {"description": "text", "content": {"text/plain": {}}}},
            }
        },
    }


def _batch() -> dict[str, Any]:
    """Many predictions: asked in JSON or in CSV, each answered by a prediction or a problem."""
    operation = _post("Predict many, answered in order", "BatchRequest", None)
    operation["requestBody"]["content"][MEDIA_TYPE] = {
        "schema": {
            "type": "string",
            "description": f"A header of fields among {', '.join(FIELDS)}, then 1 to {bodies.MOST_REQUESTS:,} rows; an "
            f"empty cell is a field left out. A row that cannot be read is a problem in its place.",
        }
    }
    each = {"anyOf": [{"$ref": _REF.format(name=name)} for name in ("PredictionResponse", "Problem")]}
    operation["responses"]["200"]["content"][_JSON]["schema"] = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": each}},
    }
    return operation


_ADMIN: dict[str, Any] = {"security": [{"admin": []}]}


def _post(summary: str, body: str, answer: str | None, *, required: bool = True) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": required, "content": {_JSON: {"schema": {"$ref": _REF.format(name=body)}}}},
        "responses": _responses(answer),
    }


def _get(summary: str, answer: str | None, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "parameters": list(parameters), "responses": _responses(answer)}


def _responses(answer: str | None) -> dict[str, Any]:
    schema = {"type": "object"} if answer is None else {"$ref": _REF.format(name=answer)}
    problem = {"schema": {"$ref": _REF.format(name="Problem")}}
    return {
        "200": {"description": "done", "content": {_JSON: {"schema": schema}}},
        "4XX": {"description": "the request cannot be answered", "content": {_PROBLEM: problem}},
        "5XX": {"description": "the server or its store cannot answer now", "content": {_PROBLEM: problem}},
    }


def _query(name: str, description: str, kind: str | None = None) -> dict[str, Any]:
    schema = {"type": "string"} if kind is None else {"type": "string", "format": kind}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _version() -> dict[str, Any]:
    schema = {"type": "string", "pattern": r"^v[0-9]{8}T[0-9]{6}Z(-[1-9][0-9]{0,5})?$"}
    return {"name": "version", "in": "path", "required": True, "schema": schema}
