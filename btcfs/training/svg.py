"""Drawing with SVG text: scales, axes and marks, nothing that a browser would have to fetch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

import attrs


@attrs.frozen
class Scale:
    """A straight line from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values between the ends, about so many."""
        span = self.high - self.low or 1.0
        raw = span / count
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw)
        first = math.ceil(self.low / step)
        return [round(k * step, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def drawing(width: int, height: int, marks: Iterable[str], title: str) -> str:
    """A picture that scales with its page; the title is read out where it cannot be seen."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(marks)}</svg>"
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bar(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> str:
    inside = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" rx="2" class="{kind}">{inside}</rect>'


def dot(x: float, y: float, kind: str, tip: str = "", radius: float = 4) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}"><title>{escape(tip)}</title></circle>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" class="{kind}"/>'


def bottom_axis(scale: Scale, y: float, top: float, label: str, form: str = "g") -> list[str]:
    """Ticks under the picture, a faint line up from each, and the name of what they count."""
    marks = []
    for tick in scale.ticks():
        marks += [
            line(scale(tick), top, scale(tick), y, "grid"),
            text(scale(tick), y + 16, format(tick, form), "tick", "middle"),
        ]
    return [
        *marks,
        line(scale.start, y, scale.end, y),
        text((scale.start + scale.end) / 2, y + 34, label, "tick", "middle"),
    ]


def left_axis(scale: Scale, x: float, right: float, label: str, form: str = "g") -> list[str]:
    """Ticks beside the picture, a faint line across from each, and the name of what they count."""
    marks = []
    for tick in scale.ticks():
        marks += [
            line(x, scale(tick), right, scale(tick), "grid"),
            text(x - 6, scale(tick) + 4, format(tick, form), "tick", "end"),
        ]
    return [*marks, text(x, min(scale.start, scale.end) - 10, label, "tick")]
