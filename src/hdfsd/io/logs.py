"""Adapter. Where this process logs: standard error, one line per event."""

from __future__ import annotations

import logging
import os
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(default: int = logging.INFO) -> None:
    """The level is the first word of $HADOOP_ROOT_LOGGER (`DEBUG,console`), else `default`."""
    name = os.environ.get("HADOOP_ROOT_LOGGER", "").split(",")[0].strip().upper()
    level = logging.getLevelNamesMapping().get(name, default)
    logging.basicConfig(level=level, format=FORMAT, stream=sys.stderr, force=True)
