"""A client that nobody here wrote: hdfs-native against a running cluster."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hdfs_native import Client, WriteOptions
from witnesses import client_of, digest, read_whole, wait_for_replicas

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

BLOCK_BYTES = 1 << 20
BIG_BYTES = 300_000_000
SMALL_FILES, WRITERS = 5000, 8
NOT_LIMITED = (1 << 64) - 1


@pytest.fixture(scope="module")
def client(cluster: Any) -> Client:
    return client_of(cluster)


def write(client: Client, path: str, data: bytes, **options: Any) -> None:
    with client.create(path, WriteOptions(block_size=BLOCK_BYTES, **options)) as target:
        if data:
            target.write(data)


def names(rows: Iterator[Any]) -> list[str]:
    return sorted(row.path for row in rows)


@pytest.mark.parametrize(
    "size",
    [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 5 * BLOCK_BYTES + 77],
)
def test_sizes_around_a_block(client: Client, size: int) -> None:
    path, data = f"/sizes/{size}", random.Random(size).randbytes(size)
    write(client, path, data)
    status = client.get_file_info(path)
    assert (status.length, status.isdir, status.blocksize) == (size, False, BLOCK_BYTES)
    assert status.replication == 3
    assert read_whole(client, path) == data


def test_300_mb(client: Client) -> None:
    chunks = [os.urandom(BLOCK_BYTES - 7) for _ in range(16)]
    written, count = hashlib.sha256(), 0
    with client.create("/big") as target:
        while count < BIG_BYTES:
            chunk = chunks[count % 16][: BIG_BYTES - count]
            written.update(chunk)
            target.write(chunk)
            count += len(chunk)
    assert client.get_file_info("/big").length == BIG_BYTES
    read = hashlib.sha256()
    for part in client.read("/big").read_range_stream(0, BIG_BYTES):
        read.update(part)
    assert read.digest() == written.digest()
    assert client.delete("/big", False)


def test_reads_with_seeks(client: Client) -> None:
    dice = random.Random(7)
    data = dice.randbytes(4 * BLOCK_BYTES + 123)
    write(client, "/seeks", data)
    reader = client.read("/seeks")
    places = [0, 1, 511, 512, 513, len(data) - 1, len(data)]
    places += [number * BLOCK_BYTES + step for number in (1, 2, 4) for step in (-1, 0, 1)]
    places += [dice.randrange(len(data)) for _ in range(30)]
    for place in places:
        length = min(dice.choice((1, 512, 70_000, 2 * BLOCK_BYTES)), len(data) - place)
        assert reader.read_range(place, length) == data[place : place + length], (place, length)
        reader.seek(place)
        assert reader.read(length) == data[place : place + length], (place, length)
        assert reader.tell() == place + length


@pytest.mark.parametrize("first", [0, 1, 511, 512, BLOCK_BYTES - 1, BLOCK_BYTES])
def test_append(cluster: Any, client: Client, first: int) -> None:
    path, data = f"/appended/{first}", random.Random(first).randbytes(first)
    write(client, path, data)
    for size in (1, 600, BLOCK_BYTES + 5):
        more = random.Random(size).randbytes(size)
        # hdfs-native appends under the old generation stamp: a replica that its NameNode had not
        # heard of yet would be left behind, and could not be told from the others.
        wait_for_replicas(cluster, path, 3)
        with client.append(path) as target:
            target.write(more)
        data += more
        assert client.get_file_info(path).length == len(data)
        assert read_whole(client, path) == data


def test_rename_delete_list(client: Client) -> None:
    for name in ("a", "b", "deep/er/c"):
        write(client, f"/tree/{name}", name.encode())
    assert names(client.list_status("/tree", False)) == ["/tree/a", "/tree/b", "/tree/deep"]
    files = [row.path for row in client.list_status("/tree", True) if not row.isdir]
    assert sorted(files) == ["/tree/a", "/tree/b", "/tree/deep/er/c"]
    with pytest.raises(FileExistsError):
        client.rename("/tree/a", "/tree/b", False)
    client.rename("/tree/a", "/tree/b", True)
    assert read_whole(client, "/tree/b") == b"a"
    client.rename("/tree/deep", "/tree/moved", False)
    assert read_whole(client, "/tree/moved/er/c") == b"deep/er/c"
    with pytest.raises((RuntimeError, OSError)):
        client.delete("/tree/moved", False)
    assert client.delete("/tree/moved", True)
    assert not client.delete("/tree/moved", True)
    with pytest.raises(FileNotFoundError):
        client.get_file_info("/tree/moved/er/c")
    assert names(client.list_status("/tree", True)) == ["/tree/b"]


def test_a_long_listing_comes_in_parts(client: Client) -> None:
    wanted = [f"/many/{number:04}" for number in range(1, 2501)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda path: client.mkdirs(path, 0o755, True), wanted))
    assert [row.path for row in client.list_status("/many", False)] == wanted


def test_overwrite_and_create_parent(client: Client) -> None:
    write(client, "/again", b"one")
    with pytest.raises(FileExistsError):
        write(client, "/again", b"two", overwrite=False)
    assert read_whole(client, "/again") == b"one"
    write(client, "/again", b"two", overwrite=True)
    assert read_whole(client, "/again") == b"two"
    with pytest.raises(FileNotFoundError):
        write(client, "/no/such/parent", b"", create_parent=False)


def test_content_summary(client: Client) -> None:
    write(client, "/sums/a", b"x" * 1000)
    write(client, "/sums/b/c", b"x" * 500, replication=2)
    found = client.get_content_summary("/sums")
    assert (found.length, found.file_count, found.directory_count) == (1500, 2, 2)
    assert found.space_consumed == 1000 * 3 + 500 * 2
    assert {found.quota, found.space_quota} == {NOT_LIMITED}


def test_permissions_owners_times_replication(client: Client) -> None:
    write(client, "/owned", b"x", permission=0o640)
    assert client.get_file_info("/owned").permission == 0o640
    client.set_permission("/owned", 0o1755)
    client.set_owner("/owned", "someone", "some-group")
    client.set_times("/owned", 1234, 5678)
    assert client.set_replication("/owned", 2)
    status = client.get_file_info("/owned")
    assert (status.permission, status.owner, status.group) == (0o1755, "someone", "some-group")
    assert (status.modification_time, status.access_time) == (1234, 5678)
    assert status.replication == 2


def test_permission_is_denied_to_others(cluster: Any, client: Client, as_user: Any) -> None:
    client.mkdirs("/private", 0o700, True)
    client.mkdirs("/public", 0o1777, True)
    client.set_permission("/public", 0o1777)
    write(client, "/private/f", b"secret")
    write(client, "/public/f", b"open")
    stranger = as_user("stranger")
    for act in (
        lambda: read_whole(stranger, "/private/f"),
        lambda: stranger.get_file_info("/private/f"),
        lambda: write(stranger, "/private/g", b""),
        lambda: stranger.delete("/public/f", False),
        lambda: stranger.set_permission("/public/f", 0o777),
        lambda: stranger.append("/public/f"),
    ):
        with pytest.raises((RuntimeError, PermissionError), match=r"Permission|AccessControl"):
            act()
    assert read_whole(stranger, "/public/f") == b"open"
    write(stranger, "/public/mine", b"mine")
    assert client.get_file_info("/public/mine").owner == "stranger"


@pytest.fixture
def as_user(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Client]:
    """hdfs-native takes its user from the environment when it connects."""

    def make(user: str) -> Client:
        monkeypatch.setenv("HADOOP_USER_NAME", user)
        made = client_of(cluster)
        made.get_file_info("/")
        return made

    return make


@pytest.mark.slow
def test_5000_small_files_from_8_writers(cluster: Any) -> None:
    def work(index: int) -> dict[str, str]:
        client, dice, written = client_of(cluster), random.Random(index), {}
        for number in range(SMALL_FILES // WRITERS):
            path, data = f"/small/{index}/{number}", dice.randbytes(dice.randrange(2000))
            write(client, path, data)
            written[path] = digest(data)
        return written

    with ThreadPoolExecutor(WRITERS) as pool:
        written = [item for part in pool.map(work, range(WRITERS)) for item in part.items()]
        client = client_of(cluster)
        read = list(pool.map(lambda item: digest(read_whole(client, item[0])), written))
    assert len(written) == SMALL_FILES
    assert [known for _, known in written] == read
    assert client.get_content_summary("/small").file_count == SMALL_FILES
