"""Hashes of many values at once against a loop over each, and against what a Postgres 15 printed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.transfer.lookup3 import BLOCK, Hashes, Seeded, texts

WORD = 2**32
INTEGERS = st.integers(-(2**63), 2**63 - 1)
SEEDS = st.one_of(st.just(0), st.integers(0, 2**64 - 1))


PRINTED = [
    ("", -6939563903564495251),
    ("BTC-USD", 7717565901478753462),
    ("Ünïcode ₿", 8150875720983647629),
    ("twelve bytes", -7123776401673968163),
    ("more than twelve bytes", 5874120668870896803),
]


def turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) % WORD


def mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, c = ((a - c) % WORD) ^ turned(c, 4), (c + b) % WORD
    b, a = ((b - a) % WORD) ^ turned(a, 6), (a + c) % WORD
    c, b = ((c - b) % WORD) ^ turned(b, 8), (b + a) % WORD
    a, c = ((a - c) % WORD) ^ turned(c, 16), (c + b) % WORD
    b, a = ((b - a) % WORD) ^ turned(a, 19), (a + c) % WORD
    c, b = ((c - b) % WORD) ^ turned(b, 4), (b + a) % WORD
    return a, b, c


def one_hash(content: bytes, seed: int = 0) -> int:
    """The published algorithm, a byte string at a time, in Python's own integers."""
    a = b = c = (0x9E3779B9 + len(content) + 3923095) % WORD
    if seed:
        a, b, c = mixed((a + (seed >> 32)) % WORD, (b + seed % WORD) % WORD, c)
    while len(content) >= 12:
        words = struct.unpack("<3I", content[:12])
        a, b, c = mixed((a + words[0]) % WORD, (b + words[1]) % WORD, (c + words[2]) % WORD)
        content = content[12:]
    for place, byte in enumerate(content):
        if place < 4:
            a = (a + (byte << 8 * place)) % WORD
        elif place < 8:
            b = (b + (byte << 8 * (place - 4))) % WORD
        else:
            c = (c + (byte << 8 * (place - 7))) % WORD
    c = ((c ^ b) - turned(b, 14)) % WORD
    a = ((a ^ c) - turned(c, 11)) % WORD
    b = ((b ^ a) - turned(a, 25)) % WORD
    c = ((c ^ b) - turned(b, 16)) % WORD
    a = ((a ^ c) - turned(c, 4)) % WORD
    b = ((b ^ a) - turned(a, 14)) % WORD
    c = ((c ^ b) - turned(b, 24)) % WORD
    return b << 32 | c


def seeded(seeds: list[int]) -> Seeded:
    whole = np.array(seeds, dtype="uint64")
    return Seeded(len(seeds), Hashes((whole >> np.uint64(32)).astype("uint32"), whole.astype("uint32")))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(), SEEDS), min_size=1, max_size=8))
def test_floats(given: list[tuple[float, int]]) -> None:
    """A number has the hash of its bytes, zero its seed, and every NaN the same."""
    found = seeded([seed for _, seed in given]).floats(np.array([value for value, _ in given])).whole()
    for hashed, (value, seed) in zip(found.tolist(), given, strict=True):
        content = struct.pack("<d", float("nan") if value != value else value)
        assert hashed == (seed if content == bytes(8) else one_hash(content, seed))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(INTEGERS, SEEDS), min_size=1, max_size=8))
def test_integers(given: list[tuple[int, int]]) -> None:
    """Whole numbers are folded to half their bits, or hashed half by half."""
    values = np.array([value for value, _ in given])
    hashing = seeded([seed for _, seed in given])
    folded, halves = hashing.integers(values).whole().tolist(), hashing.halves(values).whole().tolist()
    for place, (value, seed) in enumerate(given):
        low, high = value % WORD, value >> 32 & (WORD - 1)
        fold = low ^ (high if value >= 0 else ~high & (WORD - 1))
        assert folded[place] == one_hash(struct.pack("<I", fold), seed)
        assert halves[place] == one_hash(struct.pack("<I", high), one_hash(struct.pack("<I", low), seed))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_texts(given: list[bytes]) -> None:
    """Texts of different lengths are hashed as each alone is."""
    assert (texts(given).view("uint64") == np.array([one_hash(value) for value in given], dtype="uint64")).all()


def test_more_than_a_block() -> None:
    """Values beyond the first block have the hashes that they have by themselves."""
    values = np.random.default_rng(0).normal(size=BLOCK + 3)
    found = Seeded(len(values)).floats(values).whole()
    assert (found[BLOCK:] == Seeded(3).floats(values[BLOCK:]).whole()).all()


@pytest.mark.parametrize(("text", "printed"), PRINTED)
def test_what_postgres_prints(text: str, printed: int) -> None:
    """``SELECT hashtextextended(text, 0)``."""
    assert texts([text.encode()]).tolist() == [printed]


def test_what_postgres_prints_of_numbers() -> None:
    """``SELECT hashfloat8extended(57000.5, 7), hashint8extended(-5, 7)``."""
    assert seeded([7]).floats(np.array([57000.5])).whole().view("int64").tolist() == [5685237864089360508]
    assert seeded([7]).integers(np.array([-5])).whole().view("int64").tolist() == [-1153735631166043584]
