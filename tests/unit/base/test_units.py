"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.units import human_size, parse_duration_ms, parse_size_bytes

DURATIONS = [
    ("60s", "ms", 60_000),
    ("60", "s", 60_000),
    ("60", "ms", 60),
    ("2h", "s", 7_200_000),
    ("1d", "s", 86_400_000),
    ("10m", "s", 600_000),
    ("500 ms", "s", 500),
    ("1500us", "s", 1),
    ("999999ns", "s", 0),
    ("-1", "s", -1000),
    (" 5S ", "ms", 5000),
]


@pytest.mark.parametrize(("text", "unit", "expected"), DURATIONS)
def test_durations(text: str, unit: str, expected: int) -> None:
    assert parse_duration_ms(text, unit) == expected


@pytest.mark.parametrize("text", ["", "s", "1.5s", "1 week", "1s2m", "0x10", "s1"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_ms(text, "s")


SIZES = [
    ("0", 0),
    ("4096", 4096),
    ("128m", 128 << 20),
    ("100M", 100 << 20),
    ("64k", 65536),
    ("1g", 1 << 30),
    ("2T", 2 << 40),
    ("1p", 1 << 50),
    ("1e", 1 << 60),
    ("-1", -1),
]


@pytest.mark.parametrize(("text", "expected"), SIZES)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "m", "1mb", "1.5g", "10 x"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size_bytes(text)


# As printed by Hadoop's TraditionalBinaryPrefix.long2String(n, "", 1).
HUMAN = [
    (0, "0"),
    (1023, "1023"),
    (1024, "1 K"),
    (3000, "2.9 K"),
    (6012, "5.9 K"),
    (92016, "89.9 K"),
    (811659522048, "755.9 G"),
    (1 << 20, "1 M"),
    (3 << 40, "3 T"),
    (-2048, "-2 K"),
    (-5, "-5"),
]


@pytest.mark.parametrize(("size", "expected"), HUMAN)
def test_human_sizes(size: int, expected: str) -> None:
    assert human_size(size) == expected


@given(st.integers(0, 1 << 62))
def test_human_sizes_are_near_the_truth(size: int) -> None:
    number, _, prefix = human_size(size).partition(" ")
    power = "_KMGTPE".index(prefix) if prefix else 0
    assert abs(float(number) * (1 << 10 * power) - size) <= 0.05 * (1 << 10 * power) * 1.01
    assert 1 <= float(number) <= 1024 or size == 0
