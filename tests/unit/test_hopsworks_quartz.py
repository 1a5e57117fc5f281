"""Which texts are Quartz expressions that the scheduler of Hopsworks takes."""

from __future__ import annotations

import pytest

from btcfs_hopsworks import quartz


@pytest.mark.parametrize(
    "text",
    [
        "0 0 12 ? * * *",
        "0 0 12 ? * *",
        "0 */15 * * * ? *",
        "0 5,20-30,45/5 8-18/2 1,15 jan-MAR,DEC ?",
        "0 0 6 L * ?",
        "0 0 6 L-3 * ?",
        "0 0 6 15W * ?",
        "0 0 6 ? * MON-FRI 2026-2030",
        "0 0 6 ? * FRIL",
        "0 0 6 ? * 6#3",
    ],
)
def test_quartz_expressions(text: str) -> None:
    """What Quartz's own documentation gives as expressions is taken."""
    quartz.check(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 fields"),
        ("0 12 * * *", "5 fields"),
        ("@daily", "1 fields"),
        ("0 0 0 12 ? * * *", "8 fields"),
        ("0 60 12 ? * *", "'60' is no Quartz minutes"),
        ("0 0 24 ? * *", "'24' is no Quartz hours"),
        ("0 0 12 0 * ?", "'0' is no Quartz day of month"),
        ("0 0 12 ? 13 *", "'13' is no Quartz month"),
        ("0 0 12 ? * 0", "'0' is no Quartz day of week"),
        ("0 0 12 ? * MONDAY", "'MONDAY' is no Quartz day of week"),
        ("0 0 12 ? * 6#6", "day of week"),
        ("0 0 ? * * ?", "no Quartz hours"),
        ("0 0,,5 12 ? * *", "minutes"),
        ("0 */0 12 ? * *", "minutes"),
        ("0 0 12 * * *", "either"),
        ("0 0 12 ? * ?", "either"),
        ("30 0 12 ? * *", "only 0 as seconds"),
        ("0 0 12 ? * * 99", "year"),
    ],
)
def test_what_is_no_quartz_expression(text: str, said: str) -> None:
    """A crontab line, a number out of range and days meant twice are refused, and told apart."""
    with pytest.raises(ValueError, match=said):
        quartz.check(text)
