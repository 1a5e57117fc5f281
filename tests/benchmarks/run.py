"""Runs every benchmark of this folder, each in a process of its own, and prints the ratios beside their bars."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

CALL = "import sys; sys.path.insert(0, {folder!r}); import {name}; rows = {name}.main({scale}); "
SHOW = "[print(f'{n:60s} {r:10.3g}   bar {b}') for n, r, b in rows]"


def main() -> int:
    """0 if every benchmark ran to its end; bars are printed, and not asserted, for they depend on the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as import for bench_import.py; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size, such as 0.01")
    given = parser.parse_args()
    folder = Path(__file__).parent
    files = [folder / f"bench_{name}.py" for name in given.names] or sorted(folder.glob("bench_*.py"))
    return max([_run(file, given.scale) for file in files], default=0)


def _run(file: Path, scale: float) -> int:
    begun = time.perf_counter()
    print(f"== {file.stem} at scale {scale:g}", flush=True)
    code = CALL.format(folder=str(file.parent), name=file.stem, scale=scale) + SHOW
    status = subprocess.run([sys.executable, "-c", code], check=False).returncode
    print(f"   {time.perf_counter() - begun:.0f} s{'' if status == 0 else ', FAILED'}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
