"""Core. Glob patterns of the shell (hadoop fs.GlobPattern, fs.GlobExpander) and chmod modes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_META = frozenset("*?{[\\")


class PatternError(ValueError):
    """The pattern can't be understood."""


def is_pattern(component: str) -> bool:
    """Whether a path component is more than a name."""
    return any(character in _META for character in component)


def unescape(component: str) -> str:
    """A component without wildcards as the name it stands for: `a\\*` is `a*`."""
    return re.sub(r"\\(.)", r"\1", component)


def has_wildcard(component: str) -> bool:
    """The same as `is_pattern`, not counting escapes."""
    return is_pattern(re.sub(r"\\.", "", component))


def component_regex(component: str) -> re.Pattern[str]:
    """The regular expression for one path component. Raises PatternError."""
    out, depth, index = [], 0, 0
    while index < len(component):
        character = component[index]
        index += 1
        if character == "\\":
            if index == len(component):
                raise PatternError(f"Missing escaped character: {component}")
            out.append(re.escape(component[index]))
            index += 1
        elif character == "*":
            out.append(".*")
        elif character == "?":
            out.append(".")
        elif character == "{":
            out.append("(?:")
            depth += 1
        elif character == "}" and depth:
            out.append(")")
            depth -= 1
        elif character == "," and depth:
            out.append("|")
        elif character == "[":
            text, index = _character_class(component, index)
            out.append(text)
        else:
            out.append(re.escape(character))
    if depth:
        raise PatternError(f"Unclosed group: {component}")
    return re.compile("".join(out), re.DOTALL)


def _character_class(component: str, start: int) -> tuple[str, int]:
    end = component.find("]", start + 1)
    if end < 0:
        raise PatternError(f"Unclosed character class: {component}")
    body = component[start:end]
    negated = body[:1] in ("^", "!")
    inner = re.sub(r"([\[\]\\&~|])", r"\\\1", body[1:] if negated else body)
    return f"[{'^' if negated else ''}{inner}]", end + 1


def expand_braces_with_slashes(pattern: str) -> list[str]:
    """`/{a/b,c}/d` becomes `/a/b/d` and `/c/d`; braces inside one component stay as they are."""
    done, work = [], [pattern]
    while work:
        text = work.pop(0)
        found = _first_brace_with_slash(text)
        if found is None:
            done.append(text)
            continue
        start, end, choices = found
        work = [text[:start] + choice + text[end + 1 :] for choice in choices] + work
    return done


def _first_brace_with_slash(text: str) -> tuple[int, int, list[str]] | None:
    index = 0
    while (start := text.find("{", index)) >= 0:
        depth, choices, piece = 0, [], start + 1
        for end in range(start, len(text)):
            if text[end] == "{":
                depth += 1
            elif text[end] == "," and depth == 1:
                choices.append(text[piece:end])
                piece = end + 1
            elif text[end] == "}":
                depth -= 1
                if depth == 0:
                    choices.append(text[piece:end])
                    if "/" in text[start:end]:
                        return start, end, choices
                    index = end + 1
                    break
        else:
            raise PatternError(f"Illegal file pattern: Unclosed group near index {len(text)}")
    return None


_OCTAL = re.compile(r"\s*\+?([01]?)([0-7]{3})\s*")
_SYMBOLIC = re.compile(r"\s*([ugoa]*)([+=-]+)([rwxXt]+)\s*")
_SHIFTS = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One `chmod` mode: octal bits, or what is done to the owner, the group and the others.

    Of several steps for the same class the last one alone counts, and the sticky bit goes with the
    others' step: so it is with Hadoop (PermissionParser, ChmodParser).
    """

    octal: int | None
    steps: tuple[tuple[str, str, str], ...] = ()
    """(u, g or o; operator; letters)."""

    @classmethod
    def parse(cls, text: str) -> ModeChange:
        """`754`, `1777`, `u+x,g-w`, `+t`. Raises PatternError."""
        match = _OCTAL.fullmatch(text)
        if match is not None:
            return cls(int(match[1] or "0", 8) << 9 | int(match[2], 8))
        steps: dict[str, tuple[str, str]] = {}
        for part in text.split(","):
            match = _SYMBOLIC.fullmatch(part)
            if match is None:
                raise PatternError(f"mode '{text}' does not match the expected pattern.")
            who = "ugo" if not match[1] or "a" in match[1] else match[1]
            steps |= dict.fromkeys(who, (match[2][-1], match[3]))
        return cls(None, tuple((who, *step) for who, step in steps.items()))

    def apply(self, mode: int, is_directory: bool) -> int:
        """The new mode of an object with this mode."""
        if self.octal is not None:
            return self.octal
        may_execute = is_directory or bool(mode & 0o111)
        for who, operator, letters in self.steps:
            shift = _SHIFTS[who]
            bits = _bits(letters, may_execute)
            mode = _combine(mode, 7 << shift, bits << shift, operator)
            if who == "o":
                mode = _combine(mode, 0o1000, 0o1000 if "t" in letters else 0, operator)
        return mode


def _bits(letters: str, may_execute: bool) -> int:
    bits = sum(value for letter, value in (("r", 4), ("w", 2), ("x", 1)) if letter in letters)
    return bits | 1 if "X" in letters and may_execute else bits


def _combine(mode: int, mask: int, bits: int, operator: str) -> int:
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    return mode & ~mask | bits


def permission_text(mode: int) -> str:
    """`rwxr-xr-t` (FsPermission.toString)."""
    letters = "".join("rwx"[i % 3] if mode >> (8 - i) & 1 else "-" for i in range(9))
    if mode & 0o1000:
        letters = letters[:8] + ("t" if letters[8] == "x" else "T")
    return letters
