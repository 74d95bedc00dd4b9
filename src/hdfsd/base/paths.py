"""Core. Paths as Hadoop's NameNode reads them: what is valid, what is reserved, what is too long.

Paths are `str`; names inside the tree are their UTF-8 bytes.
"""

from __future__ import annotations

PATH_LENGTH_MAX = 8000
"""HdfsServerConstants.MAX_PATH_LENGTH, in UTF-16 units of Java; counted here in code points."""
PATH_DEPTH_MAX = 1000
"""HdfsServerConstants.MAX_PATH_DEPTH."""
RESERVED = "/.reserved"
RESERVED_INODES = "/.reserved/.inodes"
RESERVED_RAW = "/.reserved/raw"
SNAPSHOT_DIRECTORY = ".snapshot"


def is_valid_name(path: str) -> bool:
    """DFSUtilClient.isValidName: absolute; no `.`, `:`, `//`, and `..` in inodes paths only."""
    if not path.startswith("/"):
        return False
    if "/." not in path and ":" not in path and "//" not in path:
        return True
    components = path.split("/")
    last = len(components) - 1
    inodes_tail = (
        len(components) > 4 and components[1] == ".reserved" and components[2] == ".inodes"
    )
    for index, component in enumerate(components):
        if component == "." or ":" in component:
            return False
        if component == ".." and not inodes_tail:
            return False
        if not component and index not in (0, last):
            return False
    return True


def is_too_long(path: str) -> bool:
    """NameNodeRpcServer.checkPathLength refuses such paths for calls that make names."""
    if len(path) <= PATH_DEPTH_MAX:
        return False
    return len(path) > PATH_LENGTH_MAX or depth(path) > PATH_DEPTH_MAX


def depth(path: str) -> int:
    """Number of components; 0 for the root (fs.Path.depth)."""
    return sum(1 for component in path.split("/") if component)


def is_reserved(path: str) -> bool:
    """FSDirectory.isReservedName."""
    return path == RESERVED or path.startswith(RESERVED + "/")
