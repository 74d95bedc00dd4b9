"""Adapter. A question to whoever sits at the terminal (Hadoop's ToolRunner.confirmPrompt)."""

from __future__ import annotations

import sys

YES = ("y", "yes")
NO = ("n", "no")


def confirm(question: str) -> bool:
    """Asks until it is answered; the end of the input is a no (Hadoop asks for ever then)."""
    while True:
        sys.stderr.write(f"{question} (Y or N) ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip()
        if answer.lower() in YES:
            return True
        if answer.lower() in NO or not line:
            return False
        sys.stderr.write(f"Invalid input: {answer}\n")
