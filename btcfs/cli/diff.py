"""The command that compares two stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.transfer.diffing import GroupDifference, StoreDifference


WIDE = 116  # columns of a terminal that hold all of a difference


@click.command(name="diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--a-option", multiple=True, metavar="NAME=VALUE", help="Option of the backend of A.")
@click.option("--b-option", multiple=True, metavar="NAME=VALUE", help="Option of the backend of B.")
@click.option("--group", "groups", multiple=True, metavar="NAME[:VERSION]", help="Only this group.")
@click.option("--start", metavar="TIME", help="First event time compared.")
@click.option("--end", metavar="TIME", help="Event time to stop before.")
@click.option("--as-of", metavar="TIME", help="Compare what both knew at this instant.")
@click.option(
    "--ulp", type=click.IntRange(0), default=0, show_default=True, help="Floats so many steps apart are equal."
)
@click.option("--rtol", type=click.FloatRange(0), default=0.0, show_default=True, help="So far apart, as a share.")
@click.option("--atol", type=click.FloatRange(0), default=0.0, show_default=True, help="So far apart, in the unit.")
@console.json_option
@click.pass_context
@pass_session
def command(
    session: Session, ctx: click.Context, a: str, b: str, a_option: tuple[str, ...], b_option: tuple[str, ...],
    groups: tuple[str, ...], start: str | None, end: str | None, as_of: str | None, ulp: int, rtol: float, atol: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Compare two stores by key: definitions, missing rows, and the first row where each feature differs.

    A and B are BACKEND, BACKEND:PATH or FILE.toml. Exit 1 if they differ.
    """
    import attrs

    from btcfs.instants import parse_instant
    from btcfs.transfer.comparing import Tolerance
    from btcfs.transfer.diffing import diff_stores
    from btcfs.transfer.places import apart, place, refuse_missing

    one, other = place(a, a_option, config=session.config), place(b, b_option, config=session.config)
    apart(one, other)
    for each in (one, other):
        refuse_missing(each)
    low, high, known = (None if text is None else parse_instant(text) for text in (start, end, as_of))
    with (
        one.open() as left,
        other.open() as right,
        console.progress("rows", hidden=as_json) as progress,
    ):
        found = diff_stores(
            left, right, groups, between=(low, high), as_of=known, tolerance=Tolerance(ulp, rtol, atol),
            progress=progress,
        )  # fmt: skip
    found = attrs.evolve(found, a=one.title, b=other.title)
    console.show(found, as_json, lambda: _show(found))
    if not found.equal:
        ctx.exit(CHECK_FAILED)


def _show(found: StoreDifference) -> None:
    console.line(f"A  {found.a}")
    console.line(f"B  {found.b}")
    for side, titles in (("A", found.only_a), ("B", found.only_b)):
        for title in titles:
            console.failure(f"only {side} has {title}")
    for line in found.views:
        console.failure(f"view {line}")
    for group in found.groups:
        _show_group(group)
    if found.equal:
        console.done("no difference")


def _show_group(group: GroupDifference) -> None:
    title = f"{group.name} v{group.version}"
    if group.equal:
        console.done(f"{title}: {group.compared:,} rows equal")
        return
    console.failure(f"{title}: {group.rows_a:,} rows in A, {group.rows_b:,} in B, {group.compared:,} keys in both")
    for line in group.definition:
        console.line(f"  definition: {line}")
    for side, count, key in (
        ("A", group.missing_in_a, group.first_missing_in_a),
        ("B", group.missing_in_b, group.first_missing_in_b),
    ):
        if key is not None:
            console.line(f"  {count:,} rows missing in {side}, the first {_key(key)}")
    if group.features:
        columns = ("feature", "rows", "first at", "A", "B", "B - A", "ulp", "largest")
        rows = [
            (f.feature, f.rows, _key(f.key), _exact(f.a), _exact(f.b), f.difference, f.ulps, f.largest)
            for f in group.features.values()
        ]
        shown = len(columns) if console.width() >= WIDE else columns.index("B - A")
        console.table(columns[:shown], [row[:shown] for row in rows])
        if shown < len(columns):
            console.line(f"{', '.join(columns[shown:])}: with --json, or on a terminal of {WIDE} columns")


def _key(key: dict[str, object]) -> str:
    return " ".join(str(value) for value in key.values()).replace("+00:00", "Z")


def _exact(value: object) -> str:
    """A value with every digit, for two that differ may look alike with fewer."""
    return "-" if value is None else repr(value) if isinstance(value, float) else str(value)
