"""The four tools about tools: `checkpoint`, `changes`, `undo_to` and `explain`; their docstrings are for the model.

Stands on sessions.  Used by `tools`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, cast, get_type_hints

from .explaining import Explanation
from .session import START, Done, Finder, Session, Undo, session_of

__all__ = ["meta_tools"]

_CHECKPOINT = """Remember this moment by a name, so that undo_to(name) can bring everything back to it.

Set one before you try something that may turn out wrong. There is one from the beginning, called "start".

Args:
    name: a short name that has not been used yet.
"""

_UNDO_TO = """Take back everything that was done after a checkpoint, last first, and go on from there.

Use it when a plan has turned out wrong. What cannot be undone is listed in the answer. Call it alone, when no other
tool is running. The checkpoint stays, and can be gone back to again.

Args:
    checkpoint: the name of the checkpoint; "start" for the beginning.
"""

_CHANGES = """List what has been done so far, in order, and say of each thing whether it can be undone.

Args:
    since: the name of a checkpoint, to list only what came after it; "start" for everything.
"""

_EXPLAIN = """Say whether what a tool does can be undone, before you use it.

Args:
    tool: the name of the tool.
"""


def meta_tools(q: Finder, explanations: Mapping[str, Explanation], *, awaits: bool) -> list[FunctionType]:
    """The four, for this transaction and these tools; those that change something are async where it is."""

    def checkpoint(name: str) -> str:
        session = session_of(q)
        with session.alone("checkpoint") as busy:
            return busy or _checkpoint(session, name)

    async def checkpoint_async(name: str) -> str:
        return checkpoint(name)

    def undo_to(checkpoint: str) -> str:
        session = session_of(q)
        with session.alone("undo_to") as busy, Undo(session, checkpoint, busy or _unknown(session, checkpoint)) as undo:
            if not undo.text:
                session.face.rollback(to=undo.mark)
        return undo.text

    async def undo_to_async(checkpoint: str) -> str:
        session = session_of(q)
        with session.alone("undo_to") as busy, Undo(session, checkpoint, busy or _unknown(session, checkpoint)) as undo:
            if not undo.text:
                await session.face.back_to(undo.mark)
        return undo.text

    def changes(since: str = START) -> str:
        session = session_of(q)
        session.face._must_be_open("changes()")
        return _unknown(session, since) or _changes(session, since)

    def explain(tool: str) -> str:
        known = explanations.get(tool)
        return str(known) if known else f"There is no tool {tool!r}; there are: {', '.join(explanations)}."

    setting, undoing = (checkpoint_async, undo_to_async) if awaits else (checkpoint, undo_to)
    described: list[tuple[Any, str, bool]] = [
        (setting, _CHECKPOINT, True),
        (changes, _CHANGES, True),
        (undoing, _UNDO_TO, False),
        (explain, _EXPLAIN, True),
    ]
    return [_shown(*each) for each in described]


def _shown(function: Any, doc: str, reads: bool) -> FunctionType:
    """A tool of these, as a framework and a model are to see it."""
    name = function.__name__ = function.__qualname__ = function.__name__.removesuffix("_async")
    text = "It changes nothing." if reads else "What it takes back is not done again."
    function.__doc__, function.explanation = doc, Explanation(name, "read-only" if reads else "irreversible", text)
    function.__annotations__ = get_type_hints(function)
    return cast("FunctionType", function)


def _unknown(session: Session, name: str) -> str:
    """What the model is told if there is no such checkpoint."""
    return "" if name in session.checkpoints else f"There is no checkpoint {name!r}; there are: {session.known}."


def _checkpoint(session: Session, name: str) -> str:
    if name in session.checkpoints or not name.strip():
        return f"A checkpoint needs a name of its own, not {name!r}; there are: {session.known}."
    session.set(name)
    return f"Checkpoint {name!r} is set: undo_to({name!r}) takes back whatever is done from now on."


def _changes(session: Session, since: str) -> str:
    start, standing = session.checkpoints[since][1], session.standing()
    lines: list[str] = []
    for place, done in enumerate([*standing[start:], None], start):
        lines += [f"-- checkpoint {name}" for name, (_, count) in session.checkpoints.items() if count == place]
        lines += [] if done is None else [f"{place + 1}. {done.told} - {_standing(done)}"]
    if session.doomed:
        names = ", ".join(dict.fromkeys(failure.step.name for failure in session.face.report.failures))
        lines.append(f"An undo has failed ({names}), so all of this is going to be rolled back in the end.")
    elif len(lines) == 1:
        lines.append("Nothing has been done.")
    return "\n".join(lines)


def _standing(done: Done) -> str:
    if done.failed:
        return "has failed, may have been done in part, and cannot be undone"
    kind, running = done.explanation.kind, "is running; " * done.running
    if done.explanation.held:
        return f"{running}waits until everything has succeeded; can be taken back until then"
    if kind == "reversible":
        return f"{running}can be undone"
    return running + ("read only, nothing to undo" if kind == "read-only" else "cannot be undone")
