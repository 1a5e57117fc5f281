"""What tests of the commands share beside the fixture ``run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

Run = Callable[..., Result]


def parsed(result: Result) -> Any:
    """The JSON that a command wrote."""
    return json.loads(result.stdout)
