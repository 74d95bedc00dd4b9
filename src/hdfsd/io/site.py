"""Adapter. The configuration of this process, from its command line, environment and files.

Generic options as of Hadoop's GenericOptionsParser: `-D key=value`, `-conf FILE`, `-fs URI`; and
`--config DIR` as of Hadoop's shell scripts. The directory is else $HADOOP_CONF_DIR.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError

SITE_FILES = ("core-site.xml", "hdfs-site.xml")


@dataclass(slots=True)
class GenericOptions:
    """What the options that every command takes say, and the arguments that remain."""

    directory: str | None = None
    files: list[str] = field(default_factory=list)
    overrides: dict[str, str] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)


def generic_options(arguments: Sequence[str]) -> GenericOptions:
    """Takes the generic options out of the front part of a command line.

    They stand before the first argument that is no option, as Hadoop's parser wants them; only
    `--config` may be anywhere. Raises ConfigError for an option without its value.
    """
    found = GenericOptions()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "-D" or (word.startswith("-D") and "=" in word):
            pair = word[2:] or _value_of(word, words)
            key, equals, value = pair.partition("=")
            if not equals:
                raise ConfigError(f"-D {pair}: write -D key=value")
            found.overrides[key.strip()] = value
        elif word == "-conf":
            found.files.append(_value_of(word, words))
        elif word == "-fs":
            found.overrides["fs.defaultFS"] = _value_of(word, words)
        elif word == "--config":
            found.directory = _value_of(word, words)
        else:
            found.rest.append(word)
            found.rest.extend(words)
            break
    return found


def _value_of(option: str, words: list[str]) -> str:
    if not words:
        raise ConfigError(f"{option} needs a value")
    return words.pop(0)


def read_configuration(
    directory: str | None = None,
    *,
    files: Sequence[str] = (),
    overrides: dict[str, str] | None = None,
) -> Configuration:
    """The site files of a directory (default $HADOOP_CONF_DIR), then `files`, then `overrides`.

    A directory that was named must be there; a site file may be missing from it, as with Hadoop.
    """
    chosen = directory or os.environ.get("HADOOP_CONF_DIR")
    texts = []
    if chosen is not None:
        if not Path(chosen).is_dir():
            named = "--config" if directory else "HADOOP_CONF_DIR"
            raise ConfigError(f"{named}={chosen}: no such directory")
        paths = [Path(chosen, name) for name in SITE_FILES]
        texts += [_text_of(path) for path in paths if path.exists()]
    texts += [_text_of(Path(name)) for name in files]
    return Configuration.parse(
        texts, overrides, environment=os.environ, user_name=getpass.getuser()
    )


def _text_of(path: Path) -> tuple[str, str]:
    try:
        return str(path), path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error


def configuration_of(arguments: Sequence[str]) -> tuple[Configuration, list[str]]:
    """The configuration that a command line asks for, and the arguments that remain."""
    options = generic_options(arguments)
    conf = read_configuration(options.directory, files=options.files, overrides=options.overrides)
    return conf, options.rest


def current_user() -> str:
    """$HADOOP_USER_NAME, else the user of the operating system (UserGroupInformation, simple)."""
    return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()


def is_local_host(host: str) -> bool:
    """Whether a host name or address is this machine's: it can be bound here."""
    try:
        candidates = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(_can_bind(str(candidate)) for candidate in sorted(map(str, candidates)))


def _can_bind(address: str) -> bool:
    parsed = ip_address(address.partition("%")[0])
    if parsed.is_loopback or parsed.is_unspecified:
        return True
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
