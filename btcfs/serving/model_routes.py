"""The routes about models: the one that answers, the versions there are, and the administrator's two that change it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from btcfs.definitions import TIME_KEY
from btcfs.errors import StoreUnavailable, Unsupported
from btcfs.serving.active import ActiveModel, view_of
from btcfs.serving.admin import require_admin
from btcfs.serving.bodies import decode_activation
from btcfs.serving.request_parts import json_answer, running, started, whole_body
from btcfs.serving.service import Service


class ModelRoutes:
    """The endpoints about models of one app, over its service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def model(self, request: Request) -> Response:
        """The model that answers: version, view, features in order, label, metrics."""
        return json_answer(_described(await running(self._service)))

    async def models(self, request: Request) -> Response:
        """The versions in the models folder."""
        registry = self._registry("versions")
        versions = await self._service.in_thread(registry.versions)
        return json_answer({"versions": [_plain(version) for version in versions], "active": self._active_version()})

    async def model_version(self, request: Request) -> Response:
        """What is known of one version."""
        registry = self._registry("show")
        return json_answer(_plain(await self._service.in_thread(registry.show, request.path_params["version"])))

    async def activate(self, request: Request) -> Response:
        """Activate a version if its gate lets it and this store can serve it, and serve it. For the administrator."""
        service = self._service
        require_admin(request, service.options.admin_token)
        raw = await whole_body(request, service)
        reason = decode_activation(raw).force_reason if raw.strip() else None
        await started(service)
        registry = self._registry("activate")
        await service.in_thread(_activate, service, registry, request.path_params["version"], reason)
        model = await service.in_thread(service.reload)
        return json_answer({"active": model.bundle.version})

    async def reload(self, request: Request) -> Response:
        """Load the active version anew; requests under way keep the one they have. For the administrator."""
        require_admin(request, self._service.options.admin_token)
        await started(self._service)
        model = await self._service.in_thread(self._service.reload)
        return json_answer({"active": model.bundle.version})

    def _active_version(self) -> str | None:
        try:
            return self._service.model.bundle.version
        except StoreUnavailable:
            return None

    def _registry(self, method: str) -> Any:
        if not hasattr(self._service.models, method):
            raise Unsupported("this app was given one fixed model, not a models folder")
        return self._service.models


def _activate(service: Service, registry: Any, version: str, reason: str | None) -> None:
    from btcfs.training.gate import recorded_checks

    bundle = registry.load(version)
    view_of(service.store, bundle)  # not even force makes a model active that this server would refuse
    registry.activate(version, checks=recorded_checks(bundle.metadata), force_reason=reason)


def _described(model: ActiveModel) -> dict[str, Any]:
    bundle = model.bundle
    return {
        "version": bundle.version,
        "view": model.view.name,
        "view_version": model.view.version,
        "view_fingerprint": model.view.fingerprint,
        "features": list(model.view.features),
        "label": bundle.label.to_dict(),
        "interval": model.interval,
        "entity": [name for name in model.features.group.primary_key if name != TIME_KEY],
        "metrics": _plain(getattr(bundle, "metrics", {})),
        "metadata": _plain(getattr(bundle, "metadata", {})),
    }


def _plain(value: Any) -> Any:
    """What of a registry's answer can be JSON: mappings, lists, numbers and texts; a missing number is null."""
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
