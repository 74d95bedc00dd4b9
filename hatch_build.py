"""Compiles proto/ into hdfsd.wire.pb when the project is built or installed (decision D15)."""

import importlib.resources
import pathlib
import sys

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = pathlib.Path(__file__).resolve().parent


def compile_protos(root: pathlib.Path = ROOT) -> None:
    """Writes *_pb2.py and *_pb2.pyi below src/hdfsd/wire/pb; SystemExit with protoc's code."""
    from grpc_tools import protoc

    sources = sorted(str(path) for path in (root / "proto").rglob("*.proto"))
    well_known = str(importlib.resources.files("grpc_tools") / "_proto")
    out = root / "src"
    (out / "hdfsd/wire/pb").mkdir(parents=True, exist_ok=True)
    (out / "hdfsd/wire/pb/__init__.py").write_text(
        '"""Data. Generated from proto/; see hatch_build.py."""\n'
    )
    arguments = [
        "protoc",
        f"-I{root / 'proto'}",
        f"-I{well_known}",
        f"--python_out={out}",
        f"--pyi_out={out}",
    ]
    code = protoc.main([*arguments, *sources])
    if code:
        raise SystemExit(code)


class ProtoBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        compile_protos()


if __name__ == "__main__":
    sys.exit(compile_protos())
