"""The journal that is named on the command line, and the modules that are.

Stands on `Journal`, which it imports once it needs one.  Used by the commands.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .printing import one_line

if TYPE_CHECKING:
    from actionqueues.journal import Journal

__all__ = ["import_all", "journal_of", "let_go", "named"]


def journal_of(options: argparse.Namespace) -> Journal:
    """The journal that was named; never a new one."""
    from actionqueues.journal import Journal  # here, so that `--help` needs no sqlite3

    module, _, name = options.file.partition(":")
    if name.isidentifier() and not os.path.exists(options.file):
        made = getattr(_import(module), name, None)
        if not isinstance(made, Journal):
            raise TypeError(f"{options.file} is no Journal")
        return made
    if not os.path.isfile(options.file):
        what = "a folder" if os.path.isdir(options.file) else "not there"
        raise FileNotFoundError(f"there is no journal {options.file!r}: it is {what}")
    if not os.path.getsize(options.file):
        raise ValueError(f"{options.file!r} is empty: nothing has been recorded in it yet, or it is something else")
    return Journal(options.file)


@contextmanager
def let_go(journal: Journal) -> Generator[None, None, None]:
    """Close a journal in the end, however that comes, unless this process has more to do in it."""
    try:
        yield
    finally:
        journal.__exit__()


def _import(module: str) -> Any:
    """Import a module of the user's; whatever stops that is told in one line."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ImportError(f"{module!r} cannot be imported: {type(error).__name__}: {error}") from error


def import_all(modules: Sequence[str]) -> bool:
    """Import them, and tell of those that cannot be: what needs these is stuck, and the rest is not."""
    fine = True
    for module in modules:
        try:
            _import(module)
        except ImportError as error:
            fine = False
            print(f"actionqueues: {one_line(str(error))}", file=sys.stderr)  # noqa: T201 - a command
    return fine


def named(options: argparse.Namespace, number: int | None = None) -> str:
    """What follows `recover`: the journal, the number, and where the actions are, if the journal does not tell."""
    file = shlex.quote(options.file)
    which = "" if number is None else f" {number}"
    return f"{file}{which} --import MODULE" if os.path.exists(options.file) else f"{file}{which}"
