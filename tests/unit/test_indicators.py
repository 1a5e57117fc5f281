"""Indicators as declared: names, hashes, refusals, and what the standard set says of itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import talib

from btcfs.errors import ConfigError, DefinitionError
from btcfs.indicators import Indicator, Memory, indicator
from btcfs.plugins import installed_plugins
from btcfs_ta.standard import standard_indicators
from btcfs_ta.windows import ratio, window_sum

STANDARD = [
    "open",
    "high",
    "low",
    "close",
    "volume",
    "return_1",
    "return_7",
    "return_30",
    "log_return_1",
    "momentum_10",
    "roc_10",
    "sma_10",
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_12",
    "ema_26",
    "ema_50",
    "close_to_sma_20",
    "macd_12_26_9",
    "macd_signal_12_26_9",
    "macd_hist_12_26_9",
    "adx_14",
    "plus_di_14",
    "minus_di_14",
    "rsi_14",
    "stoch_k_14",
    "stoch_d_14",
    "williams_r_14",
    "cci_20",
    "mfi_14",
    "bb_upper_20",
    "bb_lower_20",
    "bb_width_20",
    "bb_percent_b_20",
    "atr_14",
    "natr_14",
    "volatility_20",
    "range_pct",
    "obv_20",
    "volume_sma_20",
    "volume_ratio_20",
    "vwap_20",
    "hour_of_day",
    "day_of_week",
    "month_of_year",
    "is_weekend",
]
UNITS = {"USD", "BTC", "1", "ratio", "log ratio", "percent", "hour", "day", "month", "bool"}


def scaled(close: np.ndarray, *, factor: float = 2.0, shift: int = 0) -> np.ndarray:
    """A multiple of the close."""
    return close * factor


def test_the_47_in_their_order() -> None:
    """The plugin gives exactly the 47 standard features, in the documented order."""
    features = [feature.name for item in installed_plugins().indicators() for feature in item.outputs]

    assert [name for name in features if name in STANDARD] == STANDARD


@pytest.mark.parametrize("item", standard_indicators(), ids=lambda item: item.outputs[0].name)
def test_standard_indicator_describes_itself(item: Indicator) -> None:
    """Each standard indicator states unit, inputs, source and what each output is."""
    assert item.source
    assert item.description.endswith(".")
    assert item.inputs
    for feature in item.outputs:
        assert feature.unit in UNITS
        assert feature.description.endswith(".")


def test_talib_version_is_part_of_the_hash() -> None:
    """An indicator that TA-Lib computes changes its hash with TA-Lib's minor version, others do not."""
    by_name = {item.outputs[0].name: item for item in standard_indicators()}
    minor = ".".join(talib.__version__.split(".")[:2])

    assert by_name["rsi_14"].version == f"1+talib{minor}"
    assert by_name["vwap_20"].version == "1"


def test_memory_is_that_of_the_longest_requirement() -> None:
    """An indicator that only divides still remembers what its requirement remembers."""
    by_name = {item.outputs[0].name: item for item in standard_indicators()}

    assert by_name["natr_14"].own_memory is Memory.FINITE
    assert by_name["natr_14"].memory is by_name["atr_14"].memory is Memory.FADING


def test_changed_talib_settings_are_refused() -> None:
    """A process that changed TA-Lib's global settings cannot compute standard features."""
    talib.set_unstable_period("RSI", 7)
    try:
        with pytest.raises(ConfigError, match="unstable period of RSI"):
            standard_indicators()
    finally:
        talib.set_unstable_period("RSI", 0)


def test_importing_the_plugin_does_not_import_talib() -> None:
    """TA-Lib is loaded when indicators are asked for, not when plugins are listed."""
    code = "import sys, btcfs_ta; sys.exit('talib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_show_parameters() -> None:
    """A feature is named by its output, the named parameters, and others that differ from their default."""
    family = indicator(named=("factor",), price_degree=1)(scaled)

    assert family().outputs[0].name == "scaled_2_0"
    assert family(factor=0.5, shift=3).outputs[0].name == "scaled_0_5_3"


def test_hash_follows_what_is_computed() -> None:
    """Parameters, version and inputs change the hash; the same declaration gives the same one."""
    family = indicator()(scaled)

    assert family().hash == indicator()(scaled)().hash
    assert len({family().hash, family(factor=3.0).hash, indicator(version="2")(scaled)().hash}) == 3


def test_unknown_parameter_and_input_are_refused() -> None:
    """A misspelt parameter or input is refused with the known ones."""
    with pytest.raises(DefinitionError, match="no parameter perid; it has factor, shift"):
        indicator()(scaled)(perid=3)
    with pytest.raises(DefinitionError, match="takes closing, which is neither a candle column"):
        indicator()(lambda closing: closing)()


@pytest.mark.parametrize("period", [1, 2, 3, 14, 19, 20, 31, 32, 33])
def test_window_sum_equals_a_loop(period: int) -> None:
    """The window sum is the sum of the window's rows, whatever came before."""
    values = np.random.default_rng(period).lognormal(0, 3, 100)
    values[50:] = 0.0

    sums = window_sum(values, period)

    expected = [sum(values[i - period + 1 : i + 1]) for i in range(period - 1, 100)]
    np.testing.assert_allclose(sums[period - 1 :], expected, rtol=1e-14)
    assert np.isnan(sums[: period - 1]).all()
    assert not sums[50 + period :].any()


def test_window_longer_than_history_has_no_value() -> None:
    """A window that never fills gives no value."""
    assert np.isnan(window_sum(np.ones(5), 6)).all()


def test_ratio_by_zero_is_what_is_asked() -> None:
    """Where the denominator is 0 the other value stands; missing stays missing."""
    values = ratio(np.array([1.0, 2.0, 3.0]), np.array([0.0, 4.0, np.nan]), otherwise=np.array([7.0, 8.0, 9.0]))

    np.testing.assert_array_equal(values, [7.0, 0.5, np.nan])
