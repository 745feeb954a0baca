"""What a process does with a unit that it is sent as text, and what it cannot do: it says what is missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from actionqueues import action, current_step
from actionqueues.engines import NotCarried
from actionqueues.engines.carrying import Carrier
from actionqueues.engines.serving import serve

ACTION = f"{__name__}:note"

seen: list[str] = []


@action
def note(word: str) -> str:
    seen.append(word)
    return word.upper()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


def request(**changes: Any) -> str:
    """An attempt of `note`."""
    asked: dict[str, Any] = {"kind": "step", "shown": "note", "key": "k", "attempts": 1, "saved": {}, "action": ACTION}
    return json.dumps({**asked, "arguments": {"word": "hello"}} | changes)


def served(text: str) -> dict[str, Any]:
    """What came of it."""
    told: dict[str, Any] = json.loads(asyncio.run(serve(text, Carrier("the engine"))))
    return told


def test_a_step_is_run_and_its_result_told() -> None:
    told = served(request())
    assert (told["result"], seen) == ("HELLO", ["hello"])


def test_a_step_of_an_action_that_is_not_loaded_fails_and_says_what_to_import() -> None:
    told = served(request(action=f"{__name__}:gone"))
    assert "this worker has not loaded the action" in told["error"]["text"]
    assert "import the module that defines it" in told["error"]["text"]


def test_so_does_a_call_of_a_plain_function() -> None:
    told = served(
        json.dumps({"kind": "step", "shown": "gone", "key": "k", "function": "no.such:gone", "call": [[], {}]})
    )
    assert "this worker has not loaded no.such:gone" in told["error"]["text"]


def test_an_argument_that_only_another_worker_has_fails_it_and_is_named() -> None:
    told = served(request(arguments={}))
    assert "'word' of note is not known here" in told["error"]["text"]
    assert seen == []


def test_an_undo_that_this_worker_lacks_is_left_to_another_one() -> None:
    with pytest.raises(NotCarried, match="the undo of .*note is not there any more in this worker"):
        served(request(kind="undo"))
    with pytest.raises(NotCarried, match="has not loaded"):
        served(request(kind="undo", action=f"{__name__}:gone"))


def test_what_a_step_saves_is_told_at_its_end_where_nobody_keeps_it_before() -> None:
    told = served(request(action=f"{__name__}:save", arguments={}))
    assert (told["result"], told["saved"]) == (None, {"part": 1})


@action
def save() -> None:
    current_step().save(part=1)
