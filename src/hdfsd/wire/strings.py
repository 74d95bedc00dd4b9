"""Core. Finds string fields that are not UTF-8, for which upb gives bytes instead of str.

Proto2 parsers do not check; Java's replaces what it can't decode. A name that silently is bytes
would break whoever stores it, so readers of the wire refuse such messages (P9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hdfsd.wire.messages import Message


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which fields of a message to look at."""

    strings: tuple[str, ...]
    """Paths: those of messages that must be there are looked at together with our own."""
    values: Callable[[Message], Iterable[object]]
    """Of all `strings`, in one step."""
    string_lists: tuple[str, ...]
    messages: tuple[str, ...]
    """That may be there, or have more than single strings themselves."""
    message_lists: tuple[str, ...]

    @property
    def is_flat(self) -> bool:
        """Whether `values` is all that is to be looked at."""
        return not (self.string_lists or self.messages or self.message_lists)


_plans: dict[str, _Plan] = {}
"""By full name of the message, made at first need."""


def bad_string(message: Message, serialised: bytes) -> str | None:
    """The name of a string field with bytes that are not UTF-8, or None.

    `serialised` is what the message was parsed from: plain ASCII is known to be good at once.
    """
    return None if serialised.isascii() else _search(message)


def _search(message: Message) -> str | None:
    plan = _plan_of(cast(Descriptor, message.DESCRIPTOR))
    if bytes in map(type, plan.values(message)):
        return next(name for name in plan.strings if type(attrgetter(name)(message)) is bytes)
    for name in plan.string_lists:
        if any(type(text) is not str for text in getattr(message, name)):
            return name
    for name in plan.messages:
        if message.HasField(name) and (found := _search(getattr(message, name))):
            return f"{name}.{found}"
    for name in plan.message_lists:
        for item in getattr(message, name):
            if found := _search(item):
                return f"{name}.{found}"
    return None


def _plan_of(descriptor: Descriptor) -> _Plan:
    plan = _plans.get(descriptor.full_name)
    if plan is None:
        plan = _plans[descriptor.full_name] = _make_plan(descriptor)
    return plan


def _make_plan(descriptor: Descriptor) -> _Plan:
    strings = [f for f in descriptor.fields if f.type == FieldDescriptor.TYPE_STRING]
    single = [f.name for f in strings if not f.is_repeated]
    messages, message_lists = [], []
    for field in descriptor.fields:
        if field.message_type is None or not _has_strings(field.message_type, ()):
            continue
        if field.is_repeated:
            message_lists.append(field.name)
        elif field.is_required and (inner := _plan_of(field.message_type)).is_flat:
            single += (f"{field.name}.{path}" for path in inner.strings)
        else:
            messages.append(field.name)
    return _Plan(
        tuple(single),
        _values_of(tuple(single)),
        tuple(f.name for f in strings if f.is_repeated),
        tuple(messages),
        tuple(message_lists),
    )


def _values_of(paths: tuple[str, ...]) -> Callable[[Message], Iterable[object]]:
    if not paths:
        return lambda message: ()
    if len(paths) > 1:
        return attrgetter(*paths)
    # Of one path it gives the value itself.
    only: Callable[[Message], object] = attrgetter(paths[0])
    return lambda message: (only(message),)


def _has_strings(descriptor: Descriptor, above: tuple[str, ...]) -> bool:
    """Whether a string can be anywhere in such a message; `above` stops at recursive types."""
    if descriptor.full_name in above:
        return False
    return any(
        f.type == FieldDescriptor.TYPE_STRING
        or (f.message_type and _has_strings(f.message_type, (*above, descriptor.full_name)))
        for f in descriptor.fields
    )
