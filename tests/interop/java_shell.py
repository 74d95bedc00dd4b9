"""Adapter. Hadoop's shells in one JVM that is asked command by command (java/ShellScript.java)."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hadoop import Hadoop

DRIVER = Path(__file__).parent / "java/ShellScript.java"
SUPERUSER = "root"
ANSWER_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str


class JavaShell:
    """`run("dfs", "-ls", "/")`; also dfsadmin and haadmin. Each command is a client of its own."""

    def __init__(self, hadoop: Hadoop, conf: Path, cwd: Path) -> None:
        log = open(hadoop.root / "shell.log", "ab")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            hadoop.command(conf, str(DRIVER)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=cwd,
            bufsize=0,
        )
        log.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        self._read = bytearray()

    def run(self, *words: str, user: str = SUPERUSER) -> Answer:
        """The answer, whatever the exit code; TimeoutError when there is none."""
        self._in.write(("\t".join([user, *words, ""]) + "\n").encode())
        while b"\n" not in self._read:
            self._more(words)
        header, _, rest = bytes(self._read).partition(b"\n")
        _, code, out, err = header.split()
        self._read = bytearray(rest)
        size = int(out) + int(err)
        while len(self._read) < size:
            self._more(words)
        text, self._read = bytes(self._read[:size]), self._read[size:]
        return Answer(int(code), _printable(text[: int(out)]), _printable(text[int(out) :]))

    def must(self, *words: str, user: str = SUPERUSER) -> str:
        """The output of a command that must succeed."""
        answer = self.run(*words, user=user)
        assert answer.code == 0, f"{' '.join(words)}: {answer.code}\n{answer.out}{answer.err}"
        return answer.out

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._in.close()
        self._out.close()

    def _more(self, words: Sequence[str]) -> None:
        ready, _, _ = select.select([self._out], [], [], ANSWER_SECONDS)
        if not ready:
            raise TimeoutError(f"{' '.join(words)}: no answer after {ANSWER_SECONDS} s")
        data = self._out.read(1 << 16)
        assert data, f"{' '.join(words)}: the JVM ended"
        self._read += data


def _printable(data: bytes) -> str:
    """Text of lines; what is no text is escaped."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
