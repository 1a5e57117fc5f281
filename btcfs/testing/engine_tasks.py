"""What the kit for engines has workers do; workers import it, and need no pytest for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np


def doubled(number: int) -> int:
    return 2 * number


def noise(rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """So many random bits as numbers, every kind of NaN among them."""
    return np.random.default_rng(rows).integers(0, 2**63, rows, dtype="int64").view("float64")


def raising(text: str) -> None:
    raise ValueError(text)


def told(path: str) -> str:
    """Wait for the file to appear, and say what it says; TimeoutError after twenty seconds."""
    deadline = time.monotonic() + 20
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear: submit must return before the task is done")
        time.sleep(0.02)  # between two looks at the disk
    return Path(path).read_text()
