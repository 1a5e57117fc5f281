"""The file that rejected candles are set aside in."""

from __future__ import annotations

from pathlib import Path

import attrs
import pandas as pd

from btcfs.errors import StoreUnavailable


@attrs.define
class RejectedFile:
    """A CSV file for rejected candles and the reason for each; pass it to a Validator as its ``quarantine``.

    It comes into being with the first rejected row, and rows are appended to one that is there.
    ``rows`` counts those written by this object. StoreUnavailable if it cannot be written.
    """

    path: Path = attrs.field(converter=Path)
    rows: int = attrs.field(default=0, init=False)

    def __call__(self, rejected: pd.DataFrame) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", newline="") as file:
                rejected.to_csv(file, index=False, header=file.tell() == 0, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot set rejected candles aside in {self.path}: {exc}; name a file that can be written"
            ) from exc
        self.rows += len(rejected)
