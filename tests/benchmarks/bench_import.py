"""How long a fresh interpreter needs for ``import btcfs`` and for ``btcfs --help``, beside one that does nothing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

IMPORT_BAR = 0.030  # seconds over bare Python
HELP_BAR = 0.200
COMMANDS = {
    "bare": "pass",
    "import": "import btcfs",
    "help": "import sys; sys.argv = ['btcfs', '--help']; from btcfs.cli import main; main()",
    "pandas": "import pandas",
}
LOADED = "import sys, json; {}; print(json.dumps([m for m in sys.modules if '.' not in m]))"


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """Medians of interleaved runs, as parts of the bar: below 1 is within it."""
    medians = _medians(max(5, int(15 * scale)))
    over = medians["import"] - medians["bare"]
    return [
        (f"import btcfs over bare Python ({1e3 * over:.1f} ms)", over / IMPORT_BAR, "<= 1 of 30 ms"),
        (f"btcfs --help ({1e3 * medians['help']:.0f} ms)", medians["help"] / HELP_BAR, "<= 1 of 0.2 s"),
        ("import btcfs over import pandas", over / (medians["pandas"] - medians["bare"]), "for information"),
        ("third-party packages after import btcfs", float(len(_foreign("import btcfs"))), "0"),
    ]


def _medians(rounds: int) -> dict[str, float]:
    for code in COMMANDS.values():  # compiles and caches once, so that no run pays for it
        _seconds(code)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, code in COMMANDS.items():
            seconds[name].append(_seconds(code))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _foreign(code: str) -> set[str]:
    """Top-level modules that the code loads beyond its own and the standard library's."""
    loaded = [
        set(json.loads(subprocess.check_output([sys.executable, "-c", LOADED.format(c)]))) for c in (code, "pass")
    ]
    return loaded[0] - loaded[1] - sys.stdlib_module_names - {"btcfs"}


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:60s} {ratio:8.2f}   bar {bar}")
