"""Core. Bit layouts and string ids inside inode records of an image (fsimage.md section 5).

Strings are named by (kind << (32 - mask bits)) | serial; permissions, ACL entries and names of
extended attributes carry serials only.
"""

from __future__ import annotations

from collections.abc import Iterator

from hdfsd.base.errors import InvariantBroken
from hdfsd.editlog.ops import ACL_GROUP, ACL_USER, AclEntry, XAttr
from hdfsd.wire.messages import fsimage as pb

MASK_BITS = 3
KIND_GLOBAL, KIND_USER, KIND_GROUP, KIND_XATTR = 0, 1, 2, 3
_SERIAL_MAX = (1 << 24) - 1

STORAGE_TYPE_OF_PROTO = {1: 2, 2: 1, 3: 3, 4: 0, 5: 4, 6: 5}
"""StorageTypeProto (DISK 1 …) → ordinal in the edit log and the namespace (RAM_DISK 0 …)."""
PROTO_OF_STORAGE_TYPE = {ordinal: proto for proto, ordinal in STORAGE_TYPE_OF_PROTO.items()}


class StringTable:
    """Strings by kind and serial, as read from an image. Unknown serials are a KeyError."""

    __slots__ = ("_shift", "_strings")

    def __init__(self, mask_bits: int) -> None:
        """`mask_bits` 0 (layouts above -65): one space of ids for all kinds."""
        if not 0 <= mask_bits <= 8:
            raise ValueError(f"{mask_bits} mask bits in the string table")
        self._shift = 32 - mask_bits
        self._strings: dict[int, str] = {}

    def add(self, string_id: int, text: str) -> None:
        if string_id in self._strings:
            raise ValueError(f"the string id {string_id:#x} stands there twice")
        self._strings[string_id] = text

    def get(self, kind: int, serial: int) -> str:
        return self._strings[serial if self._shift == 32 else kind << self._shift | serial]

    def get_optional(self, kind: int, serial: int) -> str | None:
        """Serial 0 is no string."""
        return self.get(kind, serial) if serial else None

    def permission(self, packed: int) -> tuple[str, str, int]:
        """(user, group, mode) of the fixed64."""
        user, group = packed >> 40, packed >> 16 & _SERIAL_MAX
        return (
            self.get_optional(KIND_USER, user) or "",
            self.get_optional(KIND_GROUP, group) or "",
            packed & 0xFFFF,
        )

    def acl(self, feature: pb.INodeSection.AclFeatureProto) -> tuple[AclEntry, ...]:
        return tuple(self._acl_entry(packed) for packed in feature.entries)

    def _acl_entry(self, packed: int) -> AclEntry:
        entry_type = packed >> 3 & 3
        kind = KIND_GROUP if entry_type == ACL_GROUP else KIND_USER
        name = self.get_optional(kind, packed >> 6 & _SERIAL_MAX)
        return AclEntry(entry_type, packed >> 5 & 1, packed & 7, name)

    def xattrs(self, feature: pb.INodeSection.XAttrFeatureProto) -> tuple[XAttr, ...]:
        return tuple(
            XAttr(
                (x.name >> 5 & 1) << 2 | x.name >> 30 & 3,
                self.get(KIND_XATTR, x.name >> 6 & _SERIAL_MAX),
                x.value if x.HasField("value") else None,
            )
            for x in feature.xAttrs
        )


class StringNumbers:
    """Gives strings their serials while an image is written; serials begin at 1 in each kind."""

    __slots__ = ("_serials",)

    def __init__(self) -> None:
        self._serials: dict[int, dict[str, int]] = {
            KIND_USER: {},
            KIND_GROUP: {},
            KIND_XATTR: {},
        }

    def serial(self, kind: int, text: str) -> int:
        serials = self._serials[kind]
        number = serials.get(text)
        if number is None:
            number = serials[text] = len(serials) + 1
            if number > _SERIAL_MAX:
                raise InvariantBroken(f"over {_SERIAL_MAX} different names do not fit in an image")
        return number

    def permission(self, user: str, group: str, mode: int) -> int:
        """The fixed64 of an inode."""
        return self.serial(KIND_USER, user) << 40 | self.serial(KIND_GROUP, group) << 16 | mode

    def acl(self, entries: tuple[AclEntry, ...]) -> pb.INodeSection.AclFeatureProto:
        return pb.INodeSection.AclFeatureProto(entries=[self._acl_entry(e) for e in entries])

    def _acl_entry(self, entry: AclEntry) -> int:
        serial = 0
        if entry.name is not None and entry.type in (ACL_USER, ACL_GROUP):
            kind = KIND_GROUP if entry.type == ACL_GROUP else KIND_USER
            serial = self.serial(kind, entry.name)
        return serial << 6 | entry.scope << 5 | entry.type << 3 | entry.permission

    def xattrs(self, xattrs: tuple[XAttr, ...]) -> pb.INodeSection.XAttrFeatureProto:
        feature = pb.INodeSection.XAttrFeatureProto()
        for x in xattrs:
            name = (
                (x.namespace & 3) << 30
                | self.serial(KIND_XATTR, x.name) << 6
                | (x.namespace >> 2) << 5
            )
            feature.xAttrs.add(name=name, value=x.value)
        return feature

    def entries(self) -> Iterator[tuple[int, str]]:
        """(string id, string) for the string table."""
        for kind, serials in self._serials.items():
            for text, serial in serials.items():
                yield kind << (32 - MASK_BITS) | serial, text

    def __len__(self) -> int:
        return sum(map(len, self._serials.values()))
