"""Blocks in subinterpreters, which share nothing: with the GIL of the main one, and with one of their own."""

from __future__ import annotations

import sys
from typing import Any

import pytest

interpreters: Any = pytest.importorskip("_interpreters", reason="the module came with CPython 3.13")

PROGRAM = """
import sys
sys.path[:0] = {path!r}
from actionqueues import action, transaction

trail = []

@action
def put(name):
    trail.append("+" + name)

@put.rollback
def take(name):
    trail.append("-" + name)

try:
    with transaction():
        put("a")
        put("b")
        raise KeyError
except KeyError:
    pass
assert trail == ["+a", "+b", "-b", "-a"], trail
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_block_in_a_subinterpreter_is_rolled_back(kind: str) -> None:
    made = interpreters.create(kind)
    try:
        assert interpreters.exec(made, PROGRAM.format(path=sys.path)) is None
    finally:
        interpreters.destroy(made)
