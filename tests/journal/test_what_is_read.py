"""What a handler reads from its `step` in a recovery is what the process knew, or it is told that nobody knows."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Step, action, current_step, transaction
from actionqueues.journal import Journal, NotRestorable

from .actions import trail
from .leaving import Body, edit, leave, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

Read = Callable[[Step[Any]], object]
reads: list[Read] = []


def reading(*functions: Read) -> None:
    """Let the handlers read this."""
    reads[:] = functions


def told(step: Step[Any]) -> None:
    for read in reads:
        trail.append(repr(read(step)))


@action
def make(name: str, db: Any = "db", *more: Any, card: str = "4111", **rest: Any) -> Any:
    current_step().save(name=name, card=card)
    return f"id of {name}"


@make.rollback
def unmake(step: Step[Any]) -> None:
    trail.append("called")
    told(step)  # not in the code of the handler itself


@action
async def make_async(name: str) -> Any:
    return f"id of {name}"


@make_async.rollback
async def unmake_async(step: Step[Any]) -> None:
    await asyncio.sleep(0)
    told(step)


@action
def swallows(name: str) -> Any:
    return f"id of {name}"


@swallows.rollback
def swallow(step: Step[Any]) -> None:
    trail.append(step.result if step.has_result else f"{step.name} was {step.state}")


def unknown(path: Path, body: Body, **options: Any) -> None:
    """Killed in the body: nobody knows what became of it."""
    leave(path, body, **options)
    edit(path, "UPDATE steps SET state = 'running', result = NULL, ended = NULL")


@pytest.fixture(autouse=True)
def afresh_reads() -> None:
    reads.clear()


# -- results


def test_a_handler_that_reads_a_result_that_nobody_knows_does_not_get_none_for_it(path: Path) -> None:
    reading(lambda step: step.result)
    unknown(path, lambda q: make("a"))
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["called"])
    assert (one.reason or "").endswith(
        "the result of make is not known: its process died before it was known; ask for step.has_result first, or let "
        "a probe find it (@action.landed)"
    )
    assert Journal(path).show(1).steps[0].undo == "undo failed"
    edit(path, "UPDATE steps SET result = '\"found\"', state = 'done'")
    assert recovered(path).state == "rolled back"
    assert trail == ["called", "called", "'found'"]


def test_an_async_handler_does_not_either(path: Path) -> None:
    from .leaving import leave_async

    reading(lambda step: step.result)
    leave_async(path, lambda q: make_async("a"))
    edit(path, "UPDATE steps SET state = 'running', result = NULL, ended = NULL")
    (one,) = asyncio.run(Journal(path).recover_async())
    assert (one.state, trail) == ("stuck", [])
    assert "the result of make_async is not known" in (one.reason or "")


def test_it_is_asked_once_in_a_recovery_whatever_its_policy(path: Path) -> None:
    from actionqueues import Retry

    @action(name="eager")
    def eager() -> int:
        return 1

    @eager.rollback(retry=Retry(attempts=5, wait_initial=0, wait_jitter=0))
    def uneager(step: Step[int]) -> None:
        trail.append("asked")
        trail.append(str(step.result))

    unknown(path, lambda q: eager())
    assert recovered(path).state == "stuck"
    assert trail == ["asked"]


def test_a_handler_that_asks_first_is_called(path: Path) -> None:
    unknown(path, lambda q: swallows("a"))
    assert (recovered(path).state, trail) == ("rolled back", ["swallows was unknown"])


def test_a_step_that_failed_has_no_result_in_a_recovery_as_in_its_process(path: Path) -> None:
    reading(lambda step: step.result)
    leave(path, lambda q: make("a"))
    edit(path, "UPDATE steps SET state = 'failed', result = NULL")
    assert (recovered(path).state, trail) == ("rolled back", ["called", "None"])


def test_a_result_that_was_no_plain_data_is_told_apart_from_none(path: Path) -> None:
    reading(lambda step: step.result)
    leave(path, lambda q: make("a"))
    edit(path, "UPDATE steps SET result = NULL")
    assert "the result of make is not known: it was no plain data" in (recovered(path).reason or "")


@action
def optional(name: str) -> int:
    return 1


@optional.rollback
def unoptional(result: int | None = None) -> None:
    trail.append(f"-{result}")


def test_a_default_stands_for_a_result_that_there_is_none_of_and_not_for_one_that_is_lost(path: Path) -> None:
    leave(path, lambda q: optional("a"))
    edit(path, "UPDATE steps SET result = NULL")
    assert "needs 'result', which was no plain data" in (recovered(path).reason or "")
    edit(path, "UPDATE steps SET state = 'running', ended = NULL")
    assert (recovered(path).state, trail) == ("rolled back", ["-None"])


def test_a_result_of_a_class_that_has_gone_is_told_with_the_class(path: Path) -> None:
    reading(lambda step: step.result)
    leave(path, lambda q: make("a"))
    edit(path, "UPDATE steps SET result = ?", json.dumps({"$class": "gone:Gone"}))
    assert "gone:Gone, which is not there" in (recovered(path).reason or "")


# -- arguments


SECRET: dict[str, Any] = {"resources": {"db": object}, "redact": ("card",)}


READS: list[tuple[Read, str]] = [
    (lambda step: step.arguments["card"], "'card' of make is not known: 'card' is kept out of the file"),
    (lambda step: step.arguments.get("card"), "'card' of make is not known"),
    (lambda step: dict(step.arguments), "'(card|db)' of make is not known"),
    (lambda step: list(step.arguments.values()), "'(card|db)' of make is not known"),
    (lambda step: step.arguments["db"], "'db' of make is not known: there is no resource 'db'"),
    (lambda step: step.args, "step.args of make is not known: there is no resource 'db'"),
    (lambda step: step.kwargs, "step.kwargs of make is not known: 'card' is kept out of the file"),
]


@pytest.mark.parametrize(("read", "reason"), READS)
def test_an_argument_that_is_not_in_the_file_is_no_other_value(read: Read, reason: str, path: Path) -> None:
    import re

    reading(lambda step: step.arguments["name"], read)
    leave(path, lambda q: make("a", object(), card="secret"), **SECRET)
    edit(path, "UPDATE steps SET saved = NULL")
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["called", "'a'"])
    assert re.search(reason, one.reason or "")


def test_the_arguments_that_are_there_can_be_read(path: Path) -> None:
    reading(
        lambda step: step.arguments["name"],
        lambda step: "card" in list(step.arguments),
        lambda step: step.arguments.get("none"),
    )
    leave(path, lambda q: make("a", object(), card="secret"), **SECRET)
    edit(path, "UPDATE steps SET saved = NULL")
    assert (recovered(path).state, trail) == ("rolled back", ["called", "'a'", "True", "None"])


def test_all_of_them_can_be_read_where_all_are_there(path: Path) -> None:
    reading(lambda step: dict(step.arguments), lambda step: (step.args, step.kwargs), lambda step: step.saved)
    leave(path, lambda q: make("a", 1, 2, card="c", more_of=3))
    assert recovered(path).state == "rolled back"
    assert trail[1:] == [
        "{'name': 'a', 'db': 1, 'card': 'c', 'more': (2,), 'rest': {'more_of': 3}}",
        "(('a', 1, 2), {'card': 'c', 'more_of': 3})",
        "{'name': 'a', 'card': 'c'}",
    ]


def passes_on(function: Any) -> Any:
    """A wrapper that says what it wraps."""
    import functools

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@action
@passes_on
def wrapped(name: str, card: str) -> None:
    trail.append(f"+{name}")


@wrapped.rollback
def unwrapped(card: str) -> None:
    trail.append(f"-{card}")


def test_an_argument_behind_a_wrapper_is_no_other_value_either(path: Path) -> None:
    leave(path, lambda q: wrapped("a", card="4111"), redact=("card",))
    text = Journal(path).show(1).steps[0].arguments or ""
    assert "4111" not in text or json.loads(text)
    edit(
        path, "UPDATE steps SET arguments = ?", '{"args": {"$tuple": ["a"]}, "kwargs": {"card": {"$redacted": "card"}}}'
    )
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "the undo of wrapped needs 'card': 'card' is kept out of the file" in (one.reason or "")


# -- what was saved


def test_what_was_saved_and_cannot_be_read_any_more_is_no_other_value(path: Path) -> None:
    leave(path, lambda q: make("a"))
    edit(path, "UPDATE steps SET saved = ?", '{"name": "a", "kind": {"$class": "gone:Gone"}}')
    reading(lambda step: step.saved["name"], lambda step: step.saved["kind"])
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["called", "'a'"])
    assert "'kind' saved by make is not known: it cannot be read: Unsupported('gone:Gone" in (one.reason or "")


# -- in this process


def test_a_step_of_this_process_that_failed_has_none_for_its_result(path: Path) -> None:
    reading(lambda step: step.result)
    with pytest.raises(LookupError), transaction(journal=path):
        fails()
    assert trail == ["None"]


@action
def fails() -> int:
    raise LookupError


@fails.rollback
def unfails(step: Step[int]) -> None:
    told(step)


def test_what_it_raises_can_be_caught(path: Path) -> None:
    def read(step: Step[Any]) -> str:
        try:
            return str(step.result)
        except NotRestorable:
            return "nobody knows"

    reading(read)
    unknown(path, lambda q: make("a"))
    assert (recovered(path).state, trail) == ("rolled back", ["called", "'nobody knows'"])
