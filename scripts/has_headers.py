"""Adapter. 0 when C code can be compiled against this Python, else 1."""

import sys
import sysconfig
from pathlib import Path

sys.exit(not (Path(sysconfig.get_path("include")) / "Python.h").exists())
