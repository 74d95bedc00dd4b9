"""Adapter. Work that leaves every kind of record in images and edits, and a look at all of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from java_shell import JavaShell
from mixed_cluster import wait_for

WORK = """
dfs -mkdir -p {top}/d/e
dfs -D dfs.blocksize=1024 -D dfs.bytes-per-checksum=512 -put big {top}/big
dfs -put small {top}/d/small
dfs -touchz {top}/d/e/empty
dfs -D dfs.bytes-per-checksum=512 -appendToFile small {top}/big
dfs -put big {top}/cut
dfs -truncate -w 1000 {top}/cut
dfs -put big {top}/cut2
dfs -D dfs.blocksize=1024 -D dfs.bytes-per-checksum=512 -put big {top}/part
dfs -truncate -w 1024 {top}/part
dfs -D dfs.blocksize=1024 -D dfs.bytes-per-checksum=512 -put big {top}/part2
dfs -D dfs.blocksize=1024 -put small {top}/part3
dfs -concat {top}/part {top}/part2 {top}/part3
dfs -mv {top}/d/small {top}/moved
dfs -put small {top}/d/small
dfs -put small {top}/gone
dfs -rm -skipTrash {top}/gone
dfs -D fs.trash.interval=10 -rm {top}/cut2
dfs -chmod 1751 {top}/d
dfs -chown alice:staff {top}/d/small
dfs -setrep 2 {top}/d/small
dfs -touch -t 20200102:030405 {top}/d/small
dfs -mkdir {top}/acls
dfs -setfacl -m user:bob:rw-,default:user:carol:r-x,default:group:staff:rwx {top}/acls
dfs -mkdir {top}/acls/inherits
dfs -put small {top}/acls/file
dfs -setfacl -m group:wheel:--x {top}/acls/file
dfs -setfattr -n user.colour -v blue {top}/big
dfs -setfattr -n trusted.key -v 0x00ff10 {top}/big
dfs -setfattr -n user.colour -v red {top}/big
dfs -mkdir {top}/limited
dfsadmin -setQuota 7 {top}/limited
dfsadmin -setSpaceQuota 1g {top}/limited
dfsadmin -setSpaceQuota 2g -storageType SSD {top}/limited
dfs -put small {top}/limited
dfs -mkdir '{top}/a b' {top}/ä
dfs -put small '{top}/ä/日本 語&<x>'
"""
LITTLE_WORK = """
dfs -mkdir {top} {top}/ü
dfs -D dfs.blocksize=1024 -D dfs.bytes-per-checksum=512 -put big {top}/big
dfs -D dfs.bytes-per-checksum=512 -appendToFile small {top}/big
dfs -put small {top}/ü/a
dfs -mv {top}/ü/a {top}/ü/ö
dfs -touchz {top}/gone
dfs -rm -skipTrash {top}/gone
dfs -setfacl -m user:bob:rw- {top}/ü/ö
"""


def prepare_local(directory: Path) -> None:
    """The files that WORK reads."""
    (directory / "small").write_text("some text\n")
    (directory / "big").write_bytes(bytes(range(256)) * 12)


def work(shell: JavaShell, top: str) -> None:
    """All of WORK below `top`."""
    for line in WORK.format(top=top).strip().splitlines():
        shell.must(*shlex.split(line))


def little_work(shell: JavaShell, top: str) -> None:
    """Quick work below `top`: nothing in it waits for a heartbeat."""
    for line in LITTLE_WORK.format(top=top).strip().splitlines():
        shell.must(*shlex.split(line))


def look(shell: JavaShell) -> str:
    """Everything that a client can see of the whole namespace, and the sums of all files."""
    listing = shell.must("dfs", "-ls", "-R", "/")
    paths = [line.split(maxsplit=7)[7] for line in listing.splitlines()]
    files = [line.split(maxsplit=7)[7] for line in listing.splitlines() if line[0] == "-"]
    sums = ("dfs", "-checksum", *map(_literal, files))
    wait_for("every block has a place", lambda: shell.run(*sums).code == 0)
    return "\n".join(
        [
            listing,
            shell.must("dfs", "-stat", "%n %A %F %b %o %r %g %u %y", *map(_literal, paths)),
            shell.must(*sums),
            shell.must("dfs", "-getfacl", "-R", "/"),
            shell.must("dfs", "-getfattr", "-R", "-d", "/"),
            shell.must("dfs", "-count", "-q", "-v", *map(_literal, paths)),
            shell.must("dfs", "-count", "-q", "-t", "-v", *map(_literal, paths)),
        ]
    )


def _literal(path: str) -> str:
    """The path as a glob that means itself."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)
