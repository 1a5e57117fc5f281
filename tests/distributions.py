"""Real installed distributions for the tests: modules with metadata in a folder, seen by another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def install(site: Path, distribution: str, module: str, code: str, **groups: str) -> None:
    """Put a module and its distribution's metadata into the folder; ``btcfs="name"`` is an entry point of that group.

    The entry point is the module itself; ``name=target`` names another one.
    """
    (site / f"{module}.py").write_text(code)
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = []
    for group, name in groups.items():
        name, _, target = name.partition("=")
        lines.append(f"[{group.replace('__', '.')}]\n{name} = {target or module}\n")
    (info / "entry_points.txt").write_text("\n".join(lines))


def run(code: str, site: Path, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a fresh interpreter that sees the folder as installed."""
    return command([sys.executable, "-c", code], site, cwd, **environ)


def btcfs(*arguments: str, site: Path, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fresh interpreter that sees the folder as installed."""
    return command([sys.executable, "-c", "from btcfs.cli import main; main()", *arguments], site, cwd, **environ)


def command(line: list[str], site: Path, cwd: Path | None, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BTCFS_")}
    path = os.pathsep.join([str(site), *filter(None, [kept.get("PYTHONPATH")])])
    return subprocess.run(
        line,
        cwd=cwd or site,
        env={**kept, "PYTHONPATH": path, **environ},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
