"""Who undoes with other code than the program had that has made the steps is told so, and nothing is kept from it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import actionqueues
from actionqueues import action, transaction
from actionqueues.core.definition import Definition
from actionqueues.core.queue import undo_record
from actionqueues.core.states import StepState
from actionqueues.core.step import Step
from actionqueues.journal import Journal, durable, fingerprints

from . import actions
from .leaving import edit, leave

SHOP = '''
from actionqueues import action
from actionqueues.journal import durable

@action
def charge(card):
    return card

@charge.rollback
def refund(card, result="none"):
    """Give it back."""
    for each in ("a", 1, 2.5, b"x", None):
        if card in {"ada", "bob", "eve"}:
            return [each for _ in card]

class Order:
    def __init__(self, name): self.name = name
    def __actionqueues_reference__(self): return self.name
    @classmethod
    def __actionqueues_resolve__(cls, name): return cls(name)
    @action
    def place(self): pass
    @place.rollback
    def withdraw(self): print("order")

class Special(Order):
    def withdraw(self): print("special")

@durable
def by_hand(name): print(name)
'''

CHANGES = {
    "a statement": ("return [each for", "card = [card]; return [each for"),
    "a constant": ('"a", 1,', '"a", 2,'),
    "a constant in a set": ('"eve"', '"fay"'),
    "an inner function": ("for _ in card]", "for _ in card if each]"),
    "a default": ('result="none"', 'result="nothing"'),
    "a parameter": ("def refund(card, result", "def refund(card, error=None, result"),
}
SAME = {
    "nothing": ("", ""),
    "its docstring": ("Give it back.", "Give all of it back."),
    "a docstring less": ('    """Give it back."""\n', ""),
    "a comment": ("    for each", "    # of a few\n    for each"),
    "its place": ("@action\ndef charge", "\n\n\n@action\ndef charge"),
    "the action": ("return card\n", "return card or 1\n"),
}


@pytest.fixture
def deploy() -> Iterator[Callable[..., Any]]:
    """Puts a version of the program into the place of the one before."""

    def deployed(old: str = "", new: str = "") -> Any:
        module = ModuleType("changing_shop")
        assert old in SHOP
        exec(SHOP.replace(old, new) if old else SHOP, vars(module))
        sys.modules["changing_shop"] = module
        return module

    yield deployed
    sys.modules.pop("changing_shop", None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
@pytest.mark.parametrize("change", CHANGES)
def test_a_recovery_by_a_changed_program_says_so(path: Path, change: str, deploy: Callable[..., Any]) -> None:
    shop = deploy()
    leave(path, lambda q: shop.charge("ada"))
    deploy(*CHANGES[change])
    (one,) = Journal(path).recover()
    assert (one.state, one.clean, one.changed) == ("rolled back", True, ("charge",))
    assert str(one) == "1 left: rolled back, 1 undone, the handler of charge has changed since"


@pytest.mark.parametrize("change", SAME)
def test_what_is_no_code_of_the_handler_does_not_count(path: Path, change: str, deploy: Callable[..., Any]) -> None:
    shop = deploy()
    with transaction(journal=path):
        shop.charge("ada")
    deploy(*SAME[change])
    assert Journal(path).undo(1).changed == ()


def test_each_step_that_is_undone_by_other_code_is_named_once(path: Path, deploy: Callable[..., Any]) -> None:
    shop = deploy()
    with transaction(journal=path) as q:
        shop.charge("ada")
        shop.charge("bob")
        shop.Order("x").place()
        shop.Special("y").place()
        actions.put("a")
        q.on_rollback(shop.by_hand, "z")
    deploy("print(", "print(1, ")
    journal = Journal(path)
    plan = journal.undo_plan(1)
    assert [step.changed for step in plan.steps] == [True, False, True, True, False, False]
    assert str(plan).splitlines()[1] == "6 by_hand('z'): undone by by_hand, which has changed since"
    assert str(plan).splitlines()[-1] == "the handlers of by_hand, Order.place have changed since"
    one = journal.undo(1)
    assert one.changed == ("by_hand", "Order.place")
    assert str(one).endswith(", the handlers of by_hand, Order.place have changed since")


def test_an_override_of_a_subclass_counts_as_the_handler_of_its_own_objects(
    path: Path, deploy: Callable[..., Any]
) -> None:
    shop = deploy()
    with transaction(journal=path):
        shop.Order("x").place()
        shop.Special("y").place()
    deploy('print("special")', 'print("very special")')
    assert [step.changed for step in Journal(path).undo_plan(1).steps] == [True, False]


def test_what_another_python_or_an_older_version_has_recorded_is_not_compared(path: Path) -> None:
    with transaction(journal=path):
        actions.put("a")
        actions.put("b")
    edit(path, "UPDATE steps SET fingerprint = 'cpython-27:0' WHERE number = 1")
    edit(path, "UPDATE steps SET fingerprint = NULL WHERE number = 2")
    assert Journal(path).undo(1).changed == ()


def test_what_cannot_be_undone_is_not_said_to_have_changed(path: Path, deploy: Callable[..., Any]) -> None:
    shop = deploy()
    with transaction(journal=path):
        shop.charge("ada")
    deploy("@charge.rollback\n", "")
    one = Journal(path).undo(1, partly=True)
    assert (one.state, one.changed) == ("stuck", ())


def test_decorators_around_a_handler_count(path: Path) -> None:
    def loud(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            print("undoing")
            return function(*args, **kwargs)

        return call

    def first() -> None:
        actions.note("!")

    def second() -> None:
        actions.note("?")

    prints = [fingerprint(each) for each in (first, loud(first), loud(second), functools.partial(first))]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3
    assert fingerprint(durable(first)) == prints[0]
    assert fingerprint(action(first)) == prints[0]


def fingerprint(function: Any) -> str | None:
    """That of something that is called by hand."""
    return fingerprints.fingerprint_of(Step(undo_record(function, (), {}), StepState.DONE))


class Called:
    def __call__(self) -> None:
        """Nothing."""


class Endless:
    def __getattr__(self, name: str) -> Any:
        return Endless()

    def __call__(self) -> None: ...


def test_what_is_not_written_in_python_has_none_and_what_can_be_called_has() -> None:
    assert fingerprint(os.getpid) is None
    assert fingerprints.fingerprint_of(Step(Definition(print).enter(), StepState.DONE)) is None
    assert fingerprint(Called()) is not None
    assert fingerprint(Endless()) is not None  # which has something around it without end


def test_an_override_that_cannot_be_called_has_none(deploy: Callable[..., Any]) -> None:
    shop = deploy(
        "class Special(Order):\n    def withdraw(self)", "class Special(Order):\n    def withdraw(self, more)"
    )
    definition = shop.Order.place.__actionqueues__
    record = definition.enter(shop.Special("x"))
    assert fingerprints.fingerprint_of(Step(record, StepState.DONE)) is None


def test_it_is_the_same_in_each_process() -> None:
    program = (
        f"{SHOP}\nfrom actionqueues.core.step import Step\n"
        "from actionqueues.journal.fingerprints import fingerprint_of\n"
        "print(fingerprint_of(Step(charge.__actionqueues__.enter(1), 'done')))"
    )

    def run(seed: str) -> str:
        package = str(Path(actionqueues.__file__).parent.parent)
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": package}
        return subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert run("1") == run("2") != "None\n"


def test_a_default_that_is_no_plain_value_counts_by_its_type() -> None:
    def with_default(value: Any) -> Any:
        def function(name: Any = value) -> None: ...

        return function

    same = [object(), object()], [{"a": [1]}, {"a": [1]}], [{"a"}, {"b"}]
    assert all(fingerprint(with_default(a)) == fingerprint(with_default(b)) for a, b in same)
    assert fingerprint(with_default({"a": 1})) != fingerprint(with_default({"a": 2}))
    assert fingerprint(with_default(1)) != fingerprint(with_default(True))
    assert fingerprint(with_default(slice(1, 2))) != fingerprint(with_default(slice(1, 3)))


def compiled(text: str, optimize: int = -1) -> Any:
    """The function `undo` of a program."""
    names: dict[str, Any] = {}
    exec(compile(text, "program", "exec", dont_inherit=True, optimize=optimize), names)
    return names["undo"]


def test_docstrings_and_the_head_of_the_file_do_not_count() -> None:
    plain = "def undo(name=1):\n    def give():\n        return name\n    return give\n"
    told = "def undo(name=1):\n    'All.'\n    def give():\n        'Of it.'\n        return name\n    return give\n"
    prints = {fingerprint(compiled(head + text)) for text in (plain, told) for head in ("", _FUTURE)}
    assert len(prints) == 1
    assert None not in prints


_FUTURE = "from __future__ import annotations\n"


def test_what_is_tried_counts() -> None:
    """The same instructions in the same order may have another part of them in the `try`."""
    both = "def undo():\n    try:\n        a()\n        b()\n    except E:\n        c()\n"
    one = "def undo():\n    try:\n        a()\n    except E:\n        c()\n    else:\n        b()\n"
    assert fingerprint(compiled(both)) != fingerprint(compiled(one))


def test_constants_beyond_the_256th_count() -> None:
    def many(last: int) -> Any:
        return compiled(f"def undo(): return ({', '.join(f'f({n}.5)' for n in [*range(300), last])})")

    assert fingerprint(many(1000)) == fingerprint(many(1000)) != fingerprint(many(1001))


def test_a_handler_that_is_not_written_in_python_any_more_has_changed(path: Path, deploy: Callable[..., Any]) -> None:
    shop = deploy()
    with transaction(journal=path):
        shop.charge("ada")
    deploy()
    sys.modules["changing_shop"].charge.__actionqueues__.handler.function = print
    assert Journal(path).undo_plan(1).steps[0].changed


def test_a_handler_without_a_hash_has_one() -> None:
    @dataclass
    class Undo:
        name: str

        def __call__(self) -> None: ...

    assert fingerprint(Undo("a")) == fingerprint(Undo("b")) is not None


def test_what_was_recorded_without_assertions_is_not_compared() -> None:
    program = (
        f"{SHOP}\nfrom actionqueues.core.step import Step\n"
        "from actionqueues.journal.fingerprints import fingerprint_of\n"
        "print(fingerprint_of(Step(charge.__actionqueues__.enter(1), 'done')))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent)}
    ran = subprocess.run([sys.executable, "-O", "-c", program], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{sys.implementation.cache_tag}-O1:")
