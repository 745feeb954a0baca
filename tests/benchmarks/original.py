"""The original package, actionqueues 0.8.2, in the same process as this one.

Both are called ``actionqueues``. So the original is installed by pip into a cache folder of its
own, outside the project and outside the environment, and imported from there while the modules of
this library are set aside.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tests.benchmarks import classic
from tests.benchmarks.candidates import Candidate, Functions, NotMeasured

VERSION = "0.8.2"
_NAME = "actionqueues"


def queue(functions: Functions) -> Candidate:
    """The package that this one continues, used as its documentation shows."""
    return classic.candidate(f"{_NAME} {VERSION}", original(), functions)


def cache() -> Path:
    """Where the original is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "actionqueues-benchmarks" / VERSION


def original(folder: Path | None = None) -> classic.Classic:
    """The original's modules, from ``folder``, or installed into the cache if need be."""
    folder = folder or cache()
    if not (folder / _NAME / "actionqueue.py").is_file():
        _install(folder)
    with _imported_from(folder):
        return classic.Classic(
            importlib.import_module(f"{_NAME}.action"),
            importlib.import_module(f"{_NAME}.actionqueue"),
        )


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    command += ["--upgrade", "--target", str(folder), f"{_NAME}=={VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotMeasured(f"pip could not install it into {folder}") from error


@contextmanager
def _imported_from(folder: Path) -> Iterator[None]:
    ours = _set_aside()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _set_aside()
        sys.modules.update(ours)


def _set_aside() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == _NAME or name.startswith(f"{_NAME}.")]
    return {name: sys.modules.pop(name) for name in names}
