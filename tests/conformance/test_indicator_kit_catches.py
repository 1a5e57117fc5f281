"""The indicator kit finds planted faults, under the law that they break, and finds none in sound indicators."""

from __future__ import annotations

import pytest

from btcfs.testing.indicators import certify
from conformance import planted_conduct, planted_memory
from conformance.sound_indicators import GOOD

BAD = {**planted_memory.BAD, **planted_conduct.BAD}


@pytest.mark.parametrize("name", BAD)
def test_planted_fault_is_caught(name: str) -> None:
    """A planted fault is found, under the law that it breaks."""
    law, bad = BAD[name]
    findings = certify(bad)

    assert law in {finding.split(":")[0] for finding in findings}, findings


@pytest.mark.parametrize("name", GOOD)
def test_sound_indicator_passes(name: str) -> None:
    """A sound indicator breaks no law."""
    assert certify(GOOD[name], examples=20) == []


def test_finding_names_indicator_and_parameters() -> None:
    """A finding says which indicator broke which law, and how."""
    (finding,) = certify(BAD["dimensionless_in_dollars"][1])

    assert finding.startswith("scale: indicator 'dimensionless_in_dollars' {}")
    assert "declares price_degree=0" in finding
