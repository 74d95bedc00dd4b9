"""Data. Hadoop's configuration files, read as org.apache.hadoop.conf.Configuration reads them.

A value comes from, in falling order: overrides (`-D`), the site files (the later file wins, unless
an earlier one says `final`), the defaults of config_keys. `${name}` in a value is replaced when it
is read: by a system property (`user.name`), by the environment (`${env.X}`, `${env.X:-default}`),
by another key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hdfsd.base.config_keys import DEFAULTS, DEPRECATED
from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.base.units import parse_duration_ms, parse_size_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SUBSTITUTION_DEPTH_MAX = 20
"""Configuration.MAX_SUBST."""
SITE_FILE_BYTES_MAX = 16 << 20
_Value = TypeVar("_Value")
_VARIABLE = re.compile(r"\$\{([^}$ ]+)\}")
_INCLUDE = "{http://www.w3.org/2001/XInclude}include"


@dataclass(frozen=True, slots=True)
class Entry:
    """One property as set somewhere: its raw text, whether later files may change it, and where."""

    value: str
    final: bool
    source: str


class Configuration:
    """All properties of one process. Immutable: `with_overrides` and `scoped` make new ones."""

    __slots__ = ("_entries", "_environment", "_properties", "_scopes")

    def __init__(
        self,
        entries: Mapping[str, Entry],
        *,
        environment: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        scopes: Sequence[str] = (),
    ) -> None:
        self._entries = entries
        self._environment = environment or {}
        self._properties = properties or {}
        self._scopes = tuple(scopes)

    @classmethod
    def parse(
        cls,
        texts: Sequence[tuple[str, str]],
        overrides: Mapping[str, str] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        user_name: str = "hdfs",
    ) -> Configuration:
        """From (file name, xml text) in order of loading. Raises ConfigError naming the file."""
        entries: dict[str, Entry] = {}
        for name, text in texts:
            for key, entry in _properties_of(name, text):
                current = entries.get(key)
                if current is None or not current.final:
                    entries[key] = entry
        properties = {"user.name": user_name, "java.io.tmpdir": "/tmp"}
        conf = cls(entries, environment=environment, properties=properties)
        return conf.with_overrides(overrides or {}, "-D")

    def with_overrides(self, overrides: Mapping[str, str], source: str = "set") -> Configuration:
        """The same with these values on top; even `final` ones yield, as to Configuration.set."""
        entries = dict(self._entries)
        for key, value in overrides.items():
            entries[DEPRECATED.get(key, key)] = Entry(value, False, source)
        return self._copy(entries, self._scopes)

    def scoped(self, nameservice: str, namenode: str) -> Configuration:
        """The view of one node: `key.ns.nn` counts before `key.ns`, and that before `key`.

        Hadoop copies a fixed list of such keys (NameNode.initializeGenericKeys); here any key can.
        """
        both = [".".join(filter(None, (nameservice, namenode))), nameservice]
        return self._copy(self._entries, [scope for scope in dict.fromkeys(both) if scope])

    def _copy(self, entries: Mapping[str, Entry], scopes: Sequence[str]) -> Configuration:
        return Configuration(
            entries, environment=self._environment, properties=self._properties, scopes=scopes
        )

    def _find(self, key: str) -> tuple[str, Entry | None]:
        """The name under which a key is set (perhaps with a suffix), and what was set."""
        key = DEPRECATED.get(key, key)
        for scope in self._scopes:
            entry = self._entries.get(f"{key}.{scope}")
            if entry is not None:
                return f"{key}.{scope}", entry
        return key, self._entries.get(key)

    def get_raw(self, key: str) -> str | None:
        """The text before substitution."""
        name, entry = self._find(key)
        if entry is not None:
            return entry.value
        return DEFAULTS.get(name)

    def source(self, key: str) -> str:
        """Where the value comes from: a file name, `-D`, or `default`."""
        entry = self._find(key)[1]
        return entry.source if entry is not None else "default"

    def get(self, key: str, default: str | None = None) -> str | None:
        """The trimmed value after substitution; `default` when it is not set or empty."""
        raw = self.get_raw(key)
        if raw is None:
            return default
        return self._substitute(key, raw).strip() or default

    def require(self, key: str, remedy: str) -> str:
        """The value of a key that must be set. Raises ConfigError with the remedy."""
        value = self.get(key)
        if value is None:
            raise ConfigError(f"{key} is not set: {remedy}")
        return value

    def set_values(self) -> Iterator[tuple[str, str]]:
        """All keys that were set somewhere or have a default, with their values; sorted."""
        for key in sorted({*DEFAULTS, *self._entries}):
            value = self.get(key)
            if value is not None:
                yield key, value

    def _substitute(self, key: str, text: str) -> str:
        original = text
        for _ in range(SUBSTITUTION_DEPTH_MAX):
            match = _VARIABLE.search(text)
            if match is None:
                return text
            value = self._variable(match[1])
            if value is None:
                return text  # Unknown: Hadoop leaves the expression as it stands.
            if match[0] in value:
                return original  # Speaks of itself: likewise.
            text = text[: match.start()] + value + text[match.end() :]
        raise ConfigError(
            f"{key}={self.get_raw(key)!r}: more than {SUBSTITUTION_DEPTH_MAX} substitutions;"
            " look for keys whose values refer to each other"
        )

    def _variable(self, name: str) -> str | None:
        if name.startswith("env."):
            return self._environment_variable(name[4:])
        value = self._properties.get(name)
        return value if value is not None else self.get_raw(name)

    def _environment_variable(self, expression: str) -> str | None:
        # `X:-d` falls back when X is unset or empty, `X-d` only when it is unset (as in a shell).
        for index, character in enumerate(expression):
            if character == ":" and expression[index + 1 : index + 2] == "-":
                return self._environment.get(expression[:index]) or expression[index + 2 :]
            if character == "-":
                value = self._environment.get(expression[:index])
                return expression[index + 1 :] if value is None else value
        return self._environment.get(expression)

    def get_int(self, key: str, default: int | None = None) -> int:
        """A decimal or `0x` number. Raises ConfigError, also when nothing gives a value."""
        text = self.get(key)
        if text is None:
            return self._default(key, default, "a whole number")
        try:
            return int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            raise self._bad(key, text, "a whole number such as 10") from None

    def get_float(self, key: str, default: float | None = None) -> float:
        """A number; Java's suffix `f` is let pass."""
        text = self.get(key)
        if text is None:
            return self._default(key, default, "a number")
        try:
            return float(text.rstrip("fFdD"))
        except ValueError:
            raise self._bad(key, text, "a number such as 0.5") from None

    def get_bool(self, key: str, default: bool | None = None) -> bool:
        """`true` or `false` in any case."""
        text = self.get(key)
        if text is None:
            return self._default(key, default, "true or false")
        if text.lower() not in ("true", "false"):
            raise self._bad(key, text, "true or false")
        return text.lower() == "true"

    def get_duration_ms(self, key: str, unit: str = "ms", default: int | None = None) -> int:
        """Milliseconds; `unit` (ns us ms s m h d) is what a bare number of this key counts."""
        text = self.get(key)
        if text is None:
            return self._default(key, default, "a duration")
        try:
            return parse_duration_ms(text, unit)
        except ValueError:
            raise self._bad(
                key, text, f"a duration such as 60s (a bare number is {unit})"
            ) from None

    def get_size(self, key: str, default: int | None = None) -> int:
        """Bytes, with a binary suffix if any."""
        text = self.get(key)
        if text is None:
            return self._default(key, default, "a size in bytes")
        try:
            return parse_size_bytes(text)
        except ValueError:
            raise self._bad(key, text, "a size such as 4096, 64k or 128m") from None

    def get_list(self, key: str) -> tuple[str, ...]:
        """Parts between commas, trimmed, empty ones left out (getTrimmedStringCollection)."""
        return tuple(part.strip() for part in (self.get(key) or "").split(",") if part.strip())

    def get_address(self, key: str, default_port: int | None = None) -> Address | None:
        """`host:port`, or None when it is not set."""
        text = self.get(key)
        if text is None:
            return None
        try:
            return Address.parse(text, default_port)
        except ValueError as error:
            raise self._bad(key, text, "HOST:PORT") from error

    def bad_value(self, key: str, remedy: str) -> ConfigError:
        """The error to raise for a value that parses and still can't be used."""
        return self._bad(key, self.get(key) or "", remedy)

    def _bad(self, key: str, text: str, wanted: str) -> ConfigError:
        name = self._find(key)[0]
        return ConfigError(f"{name}={text!r} ({self.source(key)}): write {wanted}")

    def _default(self, key: str, default: _Value | None, wanted: str) -> _Value:
        if default is None:
            raise ConfigError(f"{key} is not set: write {wanted}")
        return default


def _properties_of(name: str, text: str) -> Iterator[tuple[str, Entry]]:
    if len(text) > SITE_FILE_BYTES_MAX:
        raise ConfigError(f"{name}: larger than {SITE_FILE_BYTES_MAX} bytes: no configuration file")
    try:
        root = fromstring(text.encode())
    except DefusedXmlException as error:
        raise ConfigError(f"{name}: entities and DTDs are not read: {error}") from error
    except (ParseError, ValueError) as error:
        raise ConfigError(f"{name}: not well-formed XML: {error}") from error
    if root.tag != "configuration":
        raise ConfigError(f"{name}: the top element is <{root.tag}>, not <configuration>")
    yield from _properties_in(name, root)


def _properties_in(name: str, parent: Element) -> Iterator[tuple[str, Entry]]:
    for element in parent:
        if element.tag == _INCLUDE or str(element.tag).rpartition("}")[2] == "include":
            href = element.get("href", "?")
            raise ConfigError(
                f"{name}: xi:include of {href!r} is not built: copy its properties into this file"
            )
        if element.tag == "configuration":
            yield from _properties_in(name, element)
        elif element.tag == "property":
            yield from _property(name, element)


def _property(name: str, element: Element) -> Iterator[tuple[str, Entry]]:
    # A property's parts are child elements or, in the short form, attributes.
    parts = {part: element.get(part) for part in ("name", "value", "final")}
    for child in element:
        if child.tag in parts:
            parts[child.tag] = child.text or ""
    key = (parts["name"] or "").strip()
    if not key:
        raise ConfigError(f"{name}: a <property> has no <name>")
    value = parts["value"]
    if value is not None:
        final = (parts["final"] or "").strip() == "true"
        yield DEPRECATED.get(key, key), Entry(value, final, name)
