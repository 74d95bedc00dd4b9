"""Adapter. Files through hdfs-native: a big one written and read, small ones one after another.

    python bench/files.py CONF write|read|small PATH [--bytes N] [--seconds S]

A program of its own, so that a run starts with nothing cached. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from time import perf_counter

from hdfs_native import Client

CHUNK_BYTES = 8 << 20
SMALL_BYTES = 4096


def write(client: Client, options: argparse.Namespace) -> dict[str, float]:
    """MB/s of one big file, closed."""
    chunk = os.urandom(CHUNK_BYTES)
    began = perf_counter()
    with client.create(options.path) as target:
        for _ in range(options.bytes // CHUNK_BYTES):
            target.write(chunk)
    return {"mb_per_second": options.bytes / 1e6 / (perf_counter() - began)}


def read(client: Client, options: argparse.Namespace) -> dict[str, float]:
    """MB/s of the same file."""
    began, size = perf_counter(), 0
    for chunk in client.read(options.path).read_range_stream(0, options.bytes):
        size += len(chunk)
    if size != options.bytes:
        raise SystemExit(f"{options.path}: {size} bytes came back, not {options.bytes}")
    return {"mb_per_second": size / 1e6 / (perf_counter() - began)}


def small(client: Client, options: argparse.Namespace) -> dict[str, float]:
    """Files per second, one after another."""
    content = os.urandom(SMALL_BYTES)
    began, count = perf_counter(), 0
    while perf_counter() - began < options.seconds:
        with client.create(f"{options.path}{count}") as target:
            target.write(content)
        count += 1
    return {"per_second": count / (perf_counter() - began), "count": count}


def main() -> None:
    """Runs one of them."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("conf")
    made.add_argument("work", choices=("write", "read", "small"))
    made.add_argument("path")
    made.add_argument("--bytes", type=int, default=512 << 20)
    made.add_argument("--seconds", type=float, default=5.0)
    options = made.parse_args()
    client = Client(config_dir=options.conf)
    print(json.dumps({"write": write, "read": read, "small": small}[options.work](client, options)))


if __name__ == "__main__":
    main()
