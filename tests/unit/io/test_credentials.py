"""Where secrets come from: files, providers, the configuration itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.io.credentials import resolved, secret

STORES = Path(__file__).parents[2] / "golden/data/credentials"
AUTH = "ha.zookeeper.auth"
PROVIDERS = "hadoop.security.credential.provider.path"
PASSWORD_FILE = "hadoop.security.credstore.java-keystore-provider.password-file"
CLEAR = "digest:in:clear"


def asked(*providers: str, environment: dict[str, str] | None = None, **more: str) -> str:
    return secret(AUTH, CLEAR, {PROVIDERS: ",".join(providers), **more}, environment or {})


@pytest.mark.parametrize("scheme", ["localjceks", "jceks"])
def test_a_provider_comes_before_the_configuration(scheme: str) -> None:
    assert asked(f"{scheme}://file{STORES}/store.jceks") == "digest:hdfs:se:cret"


def test_without_a_provider_or_an_entry_the_configuration_counts(tmp_path: Path) -> None:
    assert secret(AUTH, CLEAR, {}, {}) == CLEAR
    assert asked("", f"localjceks://file{tmp_path}/none-yet.jceks") == CLEAR
    provider = {PROVIDERS: f"localjceks://file{STORES}/store.jceks"}
    assert secret("another.key", CLEAR, provider, {}) == CLEAR


def test_the_first_provider_that_has_it_counts(tmp_path: Path) -> None:
    found = asked(
        f"localjceks://file{tmp_path}/missing.jceks",
        f" localjceks://file{STORES}/store.jceks",
        "jceks://hdfs@nn1/never/asked.jceks",
    )
    assert found == "digest:hdfs:se:cret"


def test_the_password_of_a_store(tmp_path: Path) -> None:
    provider = f"localjceks://file{STORES}/sesame.jceks"
    assert asked(provider, environment={"HADOOP_CREDSTORE_PASSWORD": "sesame"}) == (
        "digest:hdfs:open"
    )
    (tmp_path / "password").write_text("sesame\n")
    for file, environment in (
        (str(tmp_path / "password"), {}),
        ("password", {"HADOOP_CONF_DIR": str(tmp_path)}),
    ):
        found = asked(provider, environment=environment, **{PASSWORD_FILE: file})
        assert found == "digest:hdfs:open"
    with pytest.raises(ConfigError, match=r"sesame.jceks: .*HADOOP_CREDSTORE_PASSWORD"):
        asked(provider)
    with pytest.raises(ConfigError, match=f"{PASSWORD_FILE}=/nowhere"):
        asked(provider, **{PASSWORD_FILE: "/nowhere"})


@pytest.mark.parametrize(
    "provider", ["jceks://hdfs@nn1/x.jceks", "localbcfks://file/x", "user:///", "nonsense"]
)
def test_a_provider_that_cannot_be_opened_is_named_with_a_way_out(provider: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(provider)
    told = str(caught.value)
    assert provider in told
    assert f"hadoop credential create {AUTH} -provider localjceks://file/PATH" in told


def test_a_store_that_cannot_be_read_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        asked(f"localjceks://file{tmp_path}")
    (tmp_path / "store").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match="no JCEKS store"):
        asked(f"localjceks://file{tmp_path}/store")


def test_a_value_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(" digest:a:b\n")
    assert resolved(f"@{tmp_path}/auth") == "digest:a:b"
    assert resolved("digest:a:b") == "digest:a:b"
    with pytest.raises(ConfigError, match="missing"):
        resolved(f"@{tmp_path}/missing")
