"""Driver. An image that comes from elsewhere, on its way into every image directory.

It is written as fsimage.ckpt_N and checked as it comes (wire fact: journal-http.md section 3;
Hadoop TransferFsImage.receiveFile). One that breaks off can be kept for its sender to go on with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import md5

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId
from hdfsd.ports.disk import AppendFile, Disk
from hdfsd.ports.snapshot import WrittenFile


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender said of the image. Two that are equal are the same image."""

    txid: TxId
    size: int
    md5_hex: str | None
    """None: not said."""


class IncomingImage:
    """The beginning of an image: `done` bytes of it, the same in each file."""

    def __init__(self, disk: Disk, announced: Announced, paths: Sequence[str]) -> None:
        self.announced = announced
        self.done = 0
        self._disk = disk
        self._paths = paths
        self._digest = md5(usedforsecurity=False)
        self._files: list[AppendFile] = []

    async def begin(self) -> None:
        """Makes the files, in place of what an earlier process left under their names."""
        for path in self._paths:
            await self._disk.remove(path)
        for path in self._paths:
            self._files.append(self._disk.create(path))

    async def take(self, body: AsyncIterator[bytes]) -> None:
        """Writes what follows. Raises CorruptData when it is too much, and what `body` raises."""
        async for chunk in body:
            if self.done + len(chunk) > self.announced.size:
                raise CorruptData(
                    self._paths[0],
                    self.done,
                    f"more than the announced {self.announced.size} bytes",
                )
            for file in self._files:
                file.write_at(self.done, chunk)
            self._digest.update(chunk)
            self.done += len(chunk)

    async def finish(self) -> WrittenFile:
        """Whole, checked and durable; raises CorruptData when it is not what was announced."""
        said, found = self.announced, self._digest.hexdigest()
        if self.done != said.size:
            raise CorruptData(self._paths[0], self.done, f"{said.size} bytes were announced")
        if said.md5_hex is not None and found != said.md5_hex.lower():
            raise CorruptData(self._paths[0], None, f"MD5 {found}, announced {said.md5_hex}")
        for file in self._files:
            await file.sync()
        self.close()
        return WrittenFile(self.done, found)

    def close(self) -> None:
        while self._files:
            self._files.pop().close()

    async def drop(self) -> None:
        """Leaves nothing of it."""
        self.close()
        for path in self._paths:
            await self._disk.remove(path)
