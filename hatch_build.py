"""Compiles proto/ into hdfsd.wire.pb when the project is built or installed (decision D15).

With HDFSD_COMPILED=1 a wheel has the cores that calls spend their time in as machine code beside
their source: mypyc makes it of the modules that pyproject.toml lists under tool.hdfsd.
"""

import importlib.resources
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

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


def compile_cores(out: pathlib.Path, root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Copies the package to `out` and compiles there; gives the libraries that came of it."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(root / "src/hdfsd", out / "hdfsd")
    # A process of its own: setuptools and mypyc look at the directory that they are started in.
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), "cores", str(root)]
    subprocess.run(command, cwd=out, check=True)
    shutil.rmtree(out / "build", ignore_errors=True)
    return sorted(out.rglob("*.so"))


def compile_here(root: pathlib.Path) -> None:
    """In the child: the modules of the list, below the directory that it was started in."""
    from mypyc.build import mypycify
    from setuptools import setup

    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hdfsd"]["compiled"]
    paths = [f"{name.replace('.', '/')}.py" for name in listed]
    options = ["--config-file", str(root / "pyproject.toml")]
    modules = mypycify([*options, *paths], opt_level="2", debug_level="0", group_name="hdfsd_cores")
    arguments = ["-q", "build_ext", "--inplace", "--parallel", "2"]
    setup(name="hdfsd-cores", ext_modules=modules, script_args=arguments)


class BuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        compile_protos()
        if version != "editable" and os.environ.get("HDFSD_COMPILED") == "1":
            out = ROOT / "build/compiled"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            for library in compile_cores(out):
                build_data["force_include"][str(library)] = str(library.relative_to(out))


if __name__ == "__main__":
    if sys.argv[1:2] == ["cores"]:
        compile_here(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(compile_protos())
