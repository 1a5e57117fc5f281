"""The rules of digests: equal for equal rows in any order and any cut, different after any change of one bit."""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs import frames
from btcfs.transfer.digests import DAY, digest, same_bits
from moving import GROUP, NOTES, notes, rows

FRAME = frames.conform(GROUP, rows(60))


@settings(max_examples=30, derandomize=True, deadline=None)
@given(order=st.permutations(range(len(FRAME))), cut=st.integers(0, len(FRAME)))
def test_neither_order_nor_cut_matters(order: list[int], cut: int) -> None:
    """Rows in any order, cut anywhere and added, have one digest."""
    mixed = FRAME.iloc[order].reset_index(drop=True)
    together = digest(GROUP, mixed.iloc[:cut]) + digest(GROUP, mixed.iloc[cut:])

    assert together.hex() == digest(GROUP, FRAME).hex()
    assert together.count == len(FRAME)
    assert list(together.days * DAY) == sorted(set(frames.micros(FRAME["event_time"]) // DAY * DAY))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(row=st.integers(0, len(FRAME) - 1), bit=st.integers(0, 63), name=st.sampled_from(["volume", "trades"]))
def test_each_bit_counts(row: int, bit: int, name: str) -> None:
    """A value that differs in one bit gives another hash of its feature on its day, and of nothing else."""
    changed = FRAME.copy()
    bits = changed[name].to_numpy().view("int64").copy()
    bits[row] ^= np.int64(1) << np.int64(bit)
    changed[name] = bits.view(FRAME[name].dtype)
    day = str(np.datetime64(int(frames.micros(FRAME["event_time"])[row]) // DAY, "D"))

    assert list(digest(GROUP, changed).unlike(digest(GROUP, FRAME))) == [(day, 0, name)]


@pytest.mark.parametrize(
    ("name", "value"), [("venue", "coinbase"), ("venue", None), ("up", None), ("seen", pd.NaT), ("close", 0.0)]
)
def test_every_type_counts(name: str, value: object) -> None:
    """Another text, truth or time, and a missing one in place of a value, give another hash."""
    row = int(np.flatnonzero(FRAME[name].notna())[0])
    changed = FRAME.copy()
    changed.loc[row, name] = (not changed[name][row]) if name == "up" else value

    assert [found[2] for found in digest(GROUP, changed).unlike(digest(GROUP, FRAME))] == [name]


def test_swapped_values_count() -> None:
    """Two values exchanged between two rows of a day give another hash, as do rows that are there twice or not."""
    changed = FRAME.copy()
    changed.loc[[2, 3], "volume"] = changed.loc[[3, 2], "volume"].to_numpy()

    assert digest(GROUP, changed).hex() != digest(GROUP, FRAME).hex()
    for other in (FRAME.iloc[1:], pd.concat([FRAME, FRAME.iloc[:1]])):
        assert digest(GROUP, other).hex() != digest(GROUP, FRAME).hex()
    [(_, rows_more, _)] = digest(GROUP, pd.concat([FRAME, FRAME.iloc[:2]])).unlike(digest(GROUP, FRAME))
    assert rows_more == 2


def test_all_nan_are_equal() -> None:
    """NaN of any bits are one value, and the rows of a group without a time key have digests too."""
    changed = FRAME.copy()
    bits = changed["close"].to_numpy().view("int64").copy()
    bits[np.isnan(FRAME["close"].to_numpy())] |= 7
    changed["close"] = bits.view("float64")

    assert digest(GROUP, changed).hex() == digest(GROUP, FRAME).hex()
    one, two = (digest(NOTES, frames.conform(NOTES, notes(3, score=score))) for score in (1.0, 2.0))
    assert [found[2] for found in one.unlike(two)] == ["score"]


def test_numbers_that_do_not_lie_side_by_side() -> None:
    """Columns that are slices of one table of numbers have the hashes of their copies."""
    floats = ["close", "volume"]
    table = np.ascontiguousarray(FRAME[floats].to_numpy())
    slices = {name: table[:, place] for place, name in enumerate(floats)}
    changed = pd.DataFrame({name: slices.get(name, FRAME[name]) for name in FRAME}, copy=False)

    assert changed["close"].to_numpy().strides == (16,)
    assert digest(GROUP, changed).hex() == digest(GROUP, FRAME).hex()


@pytest.mark.parametrize("name", GROUP.columns)
def test_the_same_bits(name: str) -> None:
    """Rows are the same as a copy of them, and no longer once a value, or its order, is another."""
    row = int(np.flatnonzero(FRAME[name].notna())[1])
    changed = FRAME.copy()
    values = changed[name].dropna().unique()
    changed.loc[row, name] = next(value for value in values if value != FRAME[name][row])

    assert same_bits(GROUP, FRAME, FRAME.copy())
    assert not same_bits(GROUP, FRAME, changed)
    assert not same_bits(GROUP, FRAME, FRAME.iloc[::-1].reset_index(drop=True))
    assert not same_bits(GROUP, FRAME, FRAME.iloc[1:].reset_index(drop=True))


def test_an_empty_frame() -> None:
    """No rows have a digest as well, and adding it changes nothing."""
    nothing = digest(GROUP, FRAME.iloc[:0])

    assert nothing.count == 0
    assert (nothing + digest(GROUP, FRAME)).hex() == digest(GROUP, FRAME).hex()
    assert attrs.evolve(nothing).hex() == nothing.hex()
