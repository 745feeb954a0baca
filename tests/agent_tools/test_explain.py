"""`explain` says whether what an action does can be undone, in words and as annotations of MCP."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.agents import Explanation, explain, tools

from . import belt

in_line: Any = lambda path: os.rmdir(path)  # noqa: E731 # pyright: ignore - without a name


class Desk:
    @action
    def unlock(self, name: str) -> None: ...

    @unlock.rollback
    def lock(self, name: str) -> None: ...


@pytest.mark.parametrize(
    ("thing", "kind", "text", "destroys"),
    [
        (belt.put, "reversible", "put: Reversible: what it does can be undone, by take.", False),
        (belt.look, "read-only", "look: Read-only: it changes nothing, so there is nothing to undo.", False),
        (belt.pay, "irreversible", "pay: Irreversible: what it does cannot be undone.", True),
        (
            belt.mail,
            "irreversible",
            "mail: Irreversible, so it waits: it runs once everything has succeeded, and can be taken back until then.",
            False,
        ),
        (
            belt.forgotten,
            "irreversible",
            "forgotten: Irreversible: it has no rollback handler, so nothing undoes it.",
            True,
        ),
        (Desk().unlock, "reversible", "Desk.unlock: Reversible: what it does can be undone, by Desk.lock.", False),
        (partial(belt.put, "a"), "reversible", "put: Reversible: what it does can be undone, by take.", False),
        (
            action(os.mkdir, undo=in_line),
            "reversible",
            "mkdir: Reversible: what it does can be undone, by its rollback handler.",
            False,
        ),
    ],
    ids=["reversible", "read-only", "irreversible", "held", "no handler", "method", "partial", "in line"],
)
def test_an_action_is_explained(thing: Any, kind: str, text: str, destroys: bool) -> None:
    explanation = explain(thing)
    assert (explanation.kind, str(explanation)) == (kind, text)
    reads = kind == "read-only"
    assert explanation.mcp == {"readOnlyHint": reads, "destructiveHint": destroys, "idempotentHint": reads}


def test_an_explanation_names_what_undoes_it_and_whether_it_waits() -> None:
    assert (explain(belt.put).undo, explain(belt.pay).undo) == ("take", None)
    assert (explain(belt.mail).held, explain(belt.pay).held) == (True, False)
    assert explain(belt.put) == Explanation(
        "put", "reversible", "Reversible: what it does can be undone, by take.", undo="take"
    )


def test_a_tool_is_explained_by_its_own_name() -> None:
    with transaction() as q:
        names = [str(explain(tool)) for tool in tools(q, belt.put, named={"store": belt.put}, meta=True)]
    assert names[:2] == [
        "put: Reversible: what it does can be undone, by take.",
        "store: Reversible: what it does can be undone, by take.",
    ]
    assert names[2:] == [
        "checkpoint: It changes nothing.",
        "changes: It changes nothing.",
        "undo_to: What it takes back is not done again.",
        "explain: It changes nothing.",
    ]


@pytest.mark.parametrize(("thing", "name"), [(len, "len"), (3, "3"), (belt.answer, "answer")])
def test_what_is_no_action_is_refused_with_the_way_out(thing: Any, name: str) -> None:
    with pytest.raises(TypeError) as caught:
        explain(thing)
    assert str(caught.value) == (
        f"{name} is no action, so nobody knows whether it can be undone: put @action above it; if it only reads, "
        "@action(read_only=True)"
    )


def test_no_framework_is_imported() -> None:
    code = (
        "import sys, actionqueues.agents; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'mcp', 'langchain_core', 'langgraph', 'pydantic_ai', 'agents', 'pydantic', 'openai'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
