"""Adapter. `hdfsd getconf`: values of the configuration, for scripts (hadoop tools.GetConf)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.nameservices import (
    JournalAddress,
    journal_of,
    namenode_ids,
    namenodes,
    nameservice_ids,
)
from hdfsd.io.site import configuration_of

USAGE = """hdfsd getconf [-D key=value] ...
\t-namenodes\t\tthe hosts of the NameNodes
\t-nnRpcAddresses\t\ttheir RPC addresses, one per line
\t-journalNodes\t\tthe hosts of the JournalNodes
\t-confKey KEY\t\tthe value of one key"""


def main(arguments: Sequence[str]) -> int:
    """Prints what was asked for; -1 (255) when there is none, as Hadoop's."""
    conf, words = configuration_of(arguments)
    match words:
        case ["-confKey", key]:
            return _print_key(conf, key)
        case ["-confKey"]:
            raise ConfigError("-confKey needs the name of a key")
        case ["-namenodes"]:
            return _print_line(_namenode_hosts(conf))
        case ["-nnRpcAddresses"]:
            return _print_line(_rpc_addresses(conf), "\n")
        case ["-journalNodes"]:
            return _print_line(_journalnode_hosts(conf))
    print(USAGE, file=sys.stderr)
    return 255


def _print_key(conf: Configuration, key: str) -> int:
    value = conf.get(key)
    if value is None:
        print(f"Configuration {key} is missing.", file=sys.stderr)
        return 255
    print(value)
    return 0


def _print_line(found: Sequence[str], separator: str = " ") -> int:
    if not found:
        print("Did not get any addresses from the configuration.", file=sys.stderr)
        return 255
    print(separator.join(found))
    return 0


def _namenode_hosts(conf: Configuration) -> list[str]:
    return [node.rpc.host for ns in nameservice_ids(conf) for node in namenodes(conf, ns)]


def _rpc_addresses(conf: Configuration) -> list[str]:
    return [str(node.rpc) for ns in nameservice_ids(conf) for node in namenodes(conf, ns)]


def _journalnode_hosts(conf: Configuration) -> list[str]:
    found = []
    for nameservice in nameservice_ids(conf):
        for node_id in namenode_ids(conf, nameservice):
            journal = journal_of(conf, nameservice, node_id)
            if isinstance(journal, JournalAddress):
                found += [address.host for address in journal.nodes]
    return list(dict.fromkeys(found))
