"""Every installed model, under the model kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from btcfs.models import ModelKind
from btcfs.plugins import installed_plugins
from btcfs.testing import ModelTests
from trained import SMALL

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")


class TestInstalledModels(ModelTests):
    @pytest.fixture(params=sorted(installed_plugins([]).models()))
    def model(self, request: pytest.FixtureRequest) -> ModelKind:
        return installed_plugins([]).models()[request.param]

    def _params(self, model: ModelKind) -> Mapping[str, Any]:
        return SMALL.get(model.name, {})
