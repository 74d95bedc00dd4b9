"""Adapter. SSH by asyncssh (ports.ssh), which is imported when somebody is to be fenced.

Host keys are not checked, as with Hadoop: whoever answers at the address of the old active may be
told to kill what listens on its port. Neither an agent nor the user's own ssh files are looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from hdfsd.base.errors import ConfigError, ConnectFailed, OutcomeUnknown
from hdfsd.io.site import current_user
from hdfsd.ports.shell import OUTPUT_BYTES_MAX, ShellResult
from hdfsd.ports.ssh import SshTarget

log = logging.getLogger(__name__)

KEY_FILES_KEY = "dfs.ha.fencing.ssh.private-key-files"
EXIT_CODE_NONE = -1
CLOSE_S = 1.0
_CHUNK_BYTES = 1 << 13


class RealSsh:
    async def connect(
        self, target: SshTarget, *, key_files: Sequence[str], deadline_ms: int
    ) -> RealSshSession:
        import asyncssh

        keys = _load_keys(asyncssh, key_files)
        user = target.user or current_user()
        where = f"{user}@{target.host}:{target.port}"
        log.info("connecting to %s through ssh", where)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                connection = await asyncssh.connect(
                    target.host,
                    target.port,
                    username=user,
                    client_keys=keys,
                    known_hosts=None,
                    agent_path=None,
                    config=None,
                    gss_host=None,
                    preferred_auth="publickey",
                )
        except TimeoutError:
            raise ConnectFailed(f"{where}: no ssh session in {deadline_ms} ms") from None
        except asyncssh.PermissionDenied as error:
            raise ConnectFailed(
                f"{where}: none of the keys of {KEY_FILES_KEY} is let in: {error}"
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise ConnectFailed(f"{where}: no ssh session: {error}") from error
        return RealSshSession(connection, where)


def _load_keys(asyncssh: Any, paths: Sequence[str]) -> list[Any]:
    """Those that can be used. Raises ConfigError that says of each why not, when none can."""
    if not paths:
        raise ConfigError(f"{KEY_FILES_KEY} is not set: name a private key without a passphrase")
    keys, complaints = [], []
    for path in paths:
        try:
            keys.append(asyncssh.read_private_key(path))
        except OSError as error:
            complaints.append(f"{path} can't be read: {error.strerror}")
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            # asyncssh has no class of its own for this.
            locked = "passphrase" in str(error).lower()
            why = "has a passphrase, and nobody is here to type it"
            complaints.append(f"{path} {why}" if locked else f"{path} is no private key: {error}")
    if not keys:
        raise ConfigError(f"{KEY_FILES_KEY}: {'; '.join(complaints)}")
    for complaint in complaints:
        log.warning("%s: %s", KEY_FILES_KEY, complaint)
    return keys


class RealSshSession:
    """One connection; asyncssh's."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self._where = where

    async def run(self, command: str, *, deadline_ms: int) -> ShellResult:
        import asyncssh

        output = bytearray()
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                process = await self._connection.create_process(
                    command, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, encoding=None
                )
                try:
                    # What is too much is read and dropped, so that no writer blocks.
                    while chunk := await process.stdout.read(_CHUNK_BYTES):
                        output += chunk[: OUTPUT_BYTES_MAX - len(output)]
                    await process.wait_closed()
                    exit_code = process.exit_status
                finally:
                    if process.exit_status is None:
                        process.kill()  # A request, which some servers do not grant.
                    process.close()
        except TimeoutError:
            exit_code = EXIT_CODE_NONE
        except (OSError, asyncssh.Error) as error:
            raise OutcomeUnknown(f"{self._where}: {error}") from error
        return ShellResult(
            EXIT_CODE_NONE if exit_code is None else exit_code, output.decode(errors="replace")
        )

    async def close(self) -> None:
        self._connection.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()
