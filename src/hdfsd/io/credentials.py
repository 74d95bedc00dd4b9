"""Adapter. Values that are kept out of the configuration: `@file`, and credential providers.

Source: Hadoop Configuration.getPassword, AbstractJavaKeyStoreProvider, ZKUtil.
A provider is asked first, then the configuration, as in Hadoop. Of its providers hdfsd opens Java
key stores in local files (`localjceks://file/…`, `jceks://file/…`, what `hadoop credential` makes).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hdfsd.base.errors import ConfigError
from hdfsd.io import jceks

PROVIDERS_KEY = "hadoop.security.credential.provider.path"
PASSWORD_FILE_KEY = "hadoop.security.credstore.java-keystore-provider.password-file"
PASSWORD_VARIABLE = "HADOOP_CREDSTORE_PASSWORD"
NO_PASSWORD = "none"
SCHEMES = ("localjceks", "jceks")


def resolved(text: str) -> str:
    """The value, or the content of the file that `@file` names."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{text}: {error}") from error


def secret(
    key: str, clear_text: str, configuration: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    """What a provider has under the name of the key, else `clear_text`, the configuration's value.

    Raises ConfigError that names the provider which can't be opened, and what to do.
    """
    for provider in configuration.get(PROVIDERS_KEY, "").split(","):
        if not provider.strip():
            continue
        found = _asked(provider.strip(), key, configuration, environment)
        if found is not None:
            return found
    return clear_text


def _asked(
    provider: str, key: str, configuration: Mapping[str, str], environment: Mapping[str, str]
) -> str | None:
    parts = urlsplit(provider)
    if parts.scheme not in SCHEMES or parts.netloc != "file":
        raise ConfigError(
            f"{PROVIDERS_KEY}: hdfsd can't open {provider}, where {key} may be: copy it to a store"
            f" in a local file (`hadoop credential create {key} -provider localjceks://file/PATH`)"
            " and name that, or set the key itself and leave the provider out for this daemon"
        )
    path = Path(unquote(parts.path))
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None  # As in Hadoop, where it is an empty one.
    except OSError as error:
        raise ConfigError(f"{provider}: can't be read: {error.strerror}") from error
    try:
        return jceks.secret(content, _password(configuration, environment), key)
    except jceks.BadStore as error:
        raise ConfigError(
            f"{provider}: {error}. The password is what {PASSWORD_VARIABLE} or the file of"
            f" {PASSWORD_FILE_KEY} says, else {NO_PASSWORD!r}"
        ) from error


def _password(configuration: Mapping[str, str], environment: Mapping[str, str]) -> str:
    if PASSWORD_VARIABLE in environment:
        return environment[PASSWORD_VARIABLE]
    name = configuration.get(PASSWORD_FILE_KEY)
    if not name:
        return NO_PASSWORD
    # Hadoop looks for it on its class path, where the configuration directory is.
    path = Path(environment.get("HADOOP_CONF_DIR", os.curdir), name)
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PASSWORD_FILE_KEY}={name}: {error}") from error
