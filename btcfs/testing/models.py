"""The conformance kit of models: a test class to subclass with one fixture, and the same laws as a list of findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from btcfs.models import ModelKind
from btcfs.testing.model_laws import certify_model, hold

__all__ = ["ModelTests", "certify_model"]


class ModelTests:
    """Subclass it in a test module and give it a fixture ``model``, a ModelKind; each law is then a test.

    ``params`` are given to its ``build``, to make a large model small enough for a test.
    """

    params: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def model(self) -> ModelKind:
        raise NotImplementedError("define the fixture 'model' in the subclass")

    def test_shape(self, model: ModelKind) -> None:
        """Predictions are one finite number for each row; probabilities are probabilities."""
        self._hold("shape", model)

    def test_deterministic(self, model: ModelKind) -> None:
        """Fitted again on the same rows, it predicts the same."""
        self._hold("deterministic", model)

    def test_pure(self, model: ModelKind) -> None:
        """Its inputs are left alone."""
        self._hold("pure", model)

    def test_rows_apart(self, model: ModelKind) -> None:
        """A row's prediction does not depend on the rows beside it."""
        self._hold("rows_apart", model)

    def test_refit(self, model: ModelKind) -> None:
        """Fitting again forgets what was fitted before."""
        self._hold("refit", model)

    def test_units(self, model: ModelKind) -> None:
        """The unit of a feature does not matter."""
        self._hold("units", model)

    def test_compiled(self, model: ModelKind) -> None:
        """Compiled it is the same model."""
        self._hold("compiled", model)

    def test_missing(self, model: ModelKind) -> None:
        """Missing values are refused or handled, as declared."""
        self._hold("missing", model)

    def _hold(self, law: str, model: ModelKind) -> None:
        hold(law, model, self._params(model))

    def _params(self, model: ModelKind) -> Mapping[str, Any]:
        return self.params
