from __future__ import annotations

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.failover.acl import CREATOR_ALL, AclEntry, Credential, parse_acl, parse_auth


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("world:anyone:rwcda", (AclEntry("world", "anyone", 31),)),
        ("world:anyone:r", (AclEntry("world", "anyone", 1),)),
        ("sasl:hdfs@REALM:cdrwa", (AclEntry("sasl", "hdfs@REALM", 31),)),
        (
            "digest:hdfs:vlUvLnd8MlacsE80rDuu6ONESbM=:rwcda, world:anyone:r ,",
            (AclEntry("digest", "hdfs:vlUvLnd8MlacsE80rDuu6ONESbM=", 31),)
            + (AclEntry("world", "anyone", 1),),
        ),
        ("", CREATOR_ALL),
        (" , ", CREATOR_ALL),
        ("world:anyone:", (AclEntry("world", "anyone", 0),)),
        ("world:anyone:rr", (AclEntry("world", "anyone", 1),)),
    ],
)
def test_acl(text: str, entries: tuple[AclEntry, ...]) -> None:
    assert parse_acl(text) == entries


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("world", "write scheme:id:permissions"),
        ("world:anyone", "write scheme:id:permissions"),
        ("world:anyone:rwx", "no permission 'x'"),
        ("world:anyone:r,bad", "'bad'"),
    ],
)
def test_acl_that_can_not_be_read(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_acl(text)


def test_auth() -> None:
    assert parse_auth("") == ()
    assert parse_auth("digest:hdfs:secret, x:y") == (
        Credential("digest", "hdfs:secret"),
        Credential("x", "y"),
    )


def test_a_bad_auth_is_named_without_the_secret() -> None:
    with pytest.raises(ConfigError, match="entry 2") as caught:
        parse_auth("digest:hdfs:secret,hunter2")
    assert "hunter2" not in str(caught.value)
