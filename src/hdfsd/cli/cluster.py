"""Adapter. `hdfsd cluster up|status|down`: a whole HA cluster on this machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from hdfsd.base.errors import ConfigError
from hdfsd.minicluster.topology import Plan

DEFAULT_DIRECTORY = "hdfsd-cluster"


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with a message that names the way out."""
    options = _parser().parse_args(arguments)
    if options.verb == "up":
        return _up(options)
    if options.verb == "down":
        return _down(options)
    return _status(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hdfsd cluster", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start it; a new one if the directory has none")
    up.add_argument("--namenodes", type=int, metavar="N", help="2 unless told otherwise")
    up.add_argument("--journalnodes", type=int, metavar="N", help="3; an odd number")
    up.add_argument("--datanodes", type=int, metavar="N", help="3")
    up.add_argument(
        "--zookeeper", metavar="HOST:PORT", help="elect through it, not the embedded lock"
    )
    up.add_argument("--port-base", type=int, metavar="N", help="ports from here on; else free ones")
    up.add_argument("-D", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    status = verbs.add_parser("status", help="its daemons")
    status.add_argument("--json", action="store_true", help="for programs")
    down = verbs.add_parser("down", help="stop it; its data stay")
    for verb in (up, status, down):
        verb.add_argument("--dir", default=DEFAULT_DIRECTORY, metavar="D", help=DEFAULT_DIRECTORY)
    return parser


def _up(options: argparse.Namespace) -> int:
    from hdfsd.minicluster import cluster  # The daemons' imports, for this verb alone.

    names = ("namenodes", "journalnodes", "datanodes", "zookeeper")
    asked = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.overrides:
        asked["overrides"] = _pairs(options.overrides)
    began = time.monotonic()
    made = cluster.up(options.dir, asked, options.port_base)
    _print_endpoints(made, time.monotonic() - began)
    return 0


def _pairs(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"-D {word}: write -D key=value")
        found[key.strip()] = value
    return found


def _print_endpoints(made: Plan, seconds: float) -> None:
    print(f"The cluster in {made.directory} takes writes after {seconds:.1f} s.")
    for daemon in made.daemons:
        ports = "  ".join(f"{name} {daemon.address(name)}" for name in daemon.ports)
        print(f"  {daemon.id:<6} {ports}")
    print(f"Logs: {made.directory}/logs; stop it with: hdfsd cluster down --dir {made.directory}")
    print(f"export HADOOP_CONF_DIR={made.conf_dir}")


def _down(options: argparse.Namespace) -> int:
    from hdfsd.minicluster import cluster

    stopped = cluster.down(options.dir)
    print("The cluster is down." if stopped else "The cluster was not running.")
    return 0


def _status(options: argparse.Namespace) -> int:
    from hdfsd.minicluster import cluster

    rows = cluster.status(options.dir)
    if options.json:
        print(json.dumps([row.to_json() for row in rows], indent=1))
        return 0
    print(f"{'ID':<7}{'STATE':<13}{'PID':>8}  {'RPC':<22}{'HTTP':<22}{'PSS MiB':>8}")
    for row in rows:
        memory = "-" if row.pss_kib is None else f"{row.pss_kib / 1024:.1f}"
        pid = "-" if row.pid is None else str(row.pid)
        print(
            f"{row.id:<7}{row.state:<13}{pid:>8}  {row.rpc or '-':<22}{row.http or '-':<22}"
            f"{memory:>8}"
        )
    print(f"HADOOP_CONF_DIR={Path(options.dir).resolve()}/conf")
    return 0
