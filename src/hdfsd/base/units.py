"""Data. Durations and sizes as Hadoop writes them: `60s`, `128m`, and back for people."""

from __future__ import annotations

import re

MS_BY_UNIT = {
    "ns": 1e-6,
    "us": 1e-3,
    "ms": 1.0,
    "s": 1000.0,
    "m": 60_000.0,
    "h": 3_600_000.0,
    "d": 86_400_000.0,
}
"""Suffixes of Configuration.getTimeDuration."""

_BINARY_PREFIXES = "kmgtpe"
_DURATION = re.compile(r"([+-]?[0-9]+)\s*(ns|us|ms|s|m|h|d)?", re.IGNORECASE)
_SIZE = re.compile(r"([+-]?[0-9]+)\s*([kmgtpe])?", re.IGNORECASE)


def parse_duration_ms(text: str, default_unit: str) -> int:
    """Milliseconds (rounded down); a bare number is in `default_unit`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 60s, 500ms or 2h")
    number, unit = match.groups()
    return int(int(number) * MS_BY_UNIT[(unit or default_unit).lower()])


def parse_size_bytes(text: str) -> int:
    """Bytes; a suffix of k, m, g, t, p or e counts in powers of 1024. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 4096, 64k or 128m")
    number, prefix = match.groups()
    power = _BINARY_PREFIXES.index(prefix.lower()) + 1 if prefix else 0
    return int(number) << (10 * power)


def human_size(size_bytes: int, decimals: int = 1) -> str:
    """`1.5 K` as the shell's -h prints it (TraditionalBinaryPrefix.long2String without a unit)."""
    sign, magnitude = ("-", -size_bytes) if size_bytes < 0 else ("", size_bytes)
    if magnitude < 1024:
        return f"{size_bytes}"
    power = min((magnitude.bit_length() - 1) // 10, len(_BINARY_PREFIXES))
    unit = 1 << (10 * power)
    whole, rest = divmod(magnitude, unit)
    prefix = _BINARY_PREFIXES[power - 1].upper()
    if rest == 0:
        return f"{sign}{whole} {prefix}"
    return f"{sign}{magnitude / unit:.{decimals}f} {prefix}"
