"""The integration guide's code blocks: as the tests keep them, and as the guide has them where it is at hand."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import attrs

KEPT = Path(__file__).parent / "e2e" / "guide_snippets.md"
GUIDE = Path(os.environ.get("BTCFS_SHARED_DOCS", Path(__file__).resolve().parents[2] / "shared" / "docs")) / "guide.md"
# The only change: the guide imports from the files of the project that it describes.
IMPORTS = (
    ("from src.feature_store import", "from btcfs import"),
    ("from api.feature_store_predictor import", "from btcfs import"),
    ("from scripts.ingest_features import", "from btcfs import"),
)
_BLOCK = re.compile(r"^#{2,4} (?:\d+\. )?(?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)


@attrs.frozen
class Block:
    """One fenced block, and the heading above it."""

    heading: str
    language: str
    code: str

    @property
    def runnable(self) -> str:
        """The code with the import lines changed, and nothing else."""
        lines = self.code.splitlines()
        for old, new in IMPORTS:
            lines = [new + line.removeprefix(old) if line.startswith(old) else line for line in lines]
        return "\n".join(lines)


def blocks(language: str, page: Path = KEPT) -> list[Block]:
    """The page's blocks of a language, in its order."""
    found, heading = [], ""
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        heading = match["heading"] or heading
        if match["language"] == language:
            found.append(Block(heading, language, match["code"]))
    return found


def block(language: str, heading: str, holding: str = "") -> Block:
    """The only block of that language under that heading that has the text."""
    [found] = [b for b in blocks(language) if b.heading == heading and holding in b.code]
    return found


def titles(found: Sequence[Block]) -> list[str]:
    """Names for a parametrised test."""
    return [block.heading for block in found]
