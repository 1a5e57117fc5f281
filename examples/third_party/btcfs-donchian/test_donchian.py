"""The plugin's tests: btcfs's own laws for indicators, and one comparison with a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from btcfs_donchian import donchian_width

from btcfs.indicators import Indicator
from btcfs.testing import IndicatorTests


class TestDonchianWidth(IndicatorTests):
    """The indicator obeys every law that btcfs has for indicators."""

    @pytest.fixture
    def indicator(self) -> Indicator:
        return donchian_width(window=20)


def test_equals_a_plain_loop() -> None:
    """The width equals the one computed row by row."""
    steps = np.random.default_rng(1).normal(0.0, 0.01, 200)
    low = 100.0 * np.exp(np.cumsum(steps))
    high = low * 1.01

    (width,) = donchian_width(window=5).compute([high, low])

    for row in range(4, 200):
        top, bottom = max(high[row - 4 : row + 1]), min(low[row - 4 : row + 1])
        assert width[row] == pytest.approx(200.0 * (top - bottom) / (top + bottom), rel=1e-12)
    assert np.isnan(width[:4]).all()
