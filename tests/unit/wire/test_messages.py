"""The .proto files of proto/ say what Hadoop's say: descriptors compared, name by name.

data/descriptors.binpb is a FileDescriptorSet of Hadoop 3.4.1's messages and services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

from hdfsd.wire import messages

DESCRIPTORS = Path(__file__).parent / "data/descriptors.binpb"
Facts = dict[str, object]
FIELD = FieldDescriptorProto


def facts_of(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> Facts:
    """Everything that can be seen on the wire, each under its full name."""
    found: Facts = {}
    for file in files:
        prefix = f".{file.package}"
        for message in file.message_type:
            found |= _facts_of_message(message, prefix)
        for enum in file.enum_type:
            found |= _facts_of_enum(enum, prefix)
        for service in file.service:
            name = f"{prefix}.{service.name}"
            found[name] = "service"
            for method in service.method:
                shape = (method.input_type, method.output_type)
                streams = (method.client_streaming, method.server_streaming)
                found[f"{name}.{method.name}()"] = (*shape, *streams)
    return found


def _facts_of_message(message: DescriptorProto, prefix: str) -> Facts:
    name = f"{prefix}.{message.name}"
    found: Facts = {name: "message"}
    oneofs = [oneof.name for oneof in message.oneof_decl]
    for field in message.field:
        found[f"{name}.{field.name}"] = dict(_facts_of_field(field, oneofs))
    found[f"{name} extensions"] = [(r.start, r.end) for r in message.extension_range]
    for nested in message.nested_type:
        found |= _facts_of_message(nested, name)
    for enum in message.enum_type:
        found |= _facts_of_enum(enum, name)
    return found


def _facts_of_field(field: FIELD, oneofs: list[str]) -> Iterator[tuple[str, object]]:
    yield "number", field.number
    yield "label", FIELD.Label.Name(field.label)
    yield "type", FIELD.Type.Name(field.type)
    yield "of", field.type_name
    yield "default", field.default_value if field.HasField("default_value") else None
    yield "packed", field.options.packed
    yield "oneof", oneofs[field.oneof_index] if field.HasField("oneof_index") else None


def _facts_of_enum(enum: EnumDescriptorProto, prefix: str) -> Facts:
    name = f"{prefix}.{enum.name}"
    return {name: [(value.name, value.number) for value in enum.value]}


def ours() -> Facts:
    files = []
    for module in messages.ALL:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return facts_of(files)


def hadoops() -> Facts:
    return facts_of(FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file)


def test_every_message_enum_and_service_is_there() -> None:
    assert len(hadoops()) > 2000
    assert sorted(hadoops().keys() - ours().keys()) == []


def test_nothing_is_there_that_hadoop_does_not_have() -> None:
    assert sorted(ours().keys() - hadoops().keys()) == []


def test_all_facts_are_equal() -> None:
    mine = ours()
    different = {
        name: (fact, mine[name])
        for name, fact in hadoops().items()
        if name in mine and mine[name] != fact
    }
    assert different == {}


def test_a_difference_would_be_seen() -> None:
    files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    field = next(f for file in files.file for m in file.message_type for f in m.field)
    field.number += 1000
    assert facts_of(files.file) != hadoops()
