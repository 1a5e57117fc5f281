"""What may be wrong with an installation, its settings and its store: each check with a verdict and a remedy."""

from __future__ import annotations

from btcfs.diagnosis.value import Diagnosis as Diagnosis

__all__ = ["Diagnosis"]
