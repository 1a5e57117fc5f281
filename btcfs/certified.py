"""Training as ``btcfs.train`` offers it: the features' certificate, which the gate asks for, is made on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from btcfs.indicators import Indicator
from btcfs.testing.indicators import certify
from btcfs.training import train as uncertified

P = ParamSpec("P")
R = TypeVar("R")

EXAMPLES = 2  # generated markets for each law: few, for the kit's own tests use many


def _certifying(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def train(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("certify") is None:
            kwargs["certify"] = _findings
        return function(*args, **kwargs)

    return train


def _findings(indicator: Indicator) -> list[str]:
    return certify(indicator, EXAMPLES)


train = _certifying(uncertified.train)
