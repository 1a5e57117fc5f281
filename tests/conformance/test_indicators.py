"""Every installed indicator keeps every law of the kit."""

from __future__ import annotations

import pytest

from btcfs.indicators import Indicator
from btcfs.testing.indicators import IndicatorTests, installed_indicators


def _name(indicator: Indicator) -> str:
    return indicator.outputs[0].name


class TestInstalledIndicators(IndicatorTests):
    @pytest.fixture(params=installed_indicators(), ids=_name)
    def indicator(self, request: pytest.FixtureRequest) -> Indicator:
        chosen: Indicator = request.param
        return chosen
