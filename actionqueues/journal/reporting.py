"""A transaction of a journal as the plain data of a report, which is what all views take.

Stands on what is in the file.  Used by whatever draws a transaction that another process has run.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from actionqueues.core.entries import StepReport
from actionqueues.report import Report

from .errors import JournalError
from .inspecting import Entry, HookEntry, StepEntry, entry_of
from .store import Store

__all__ = ["Shown", "report_data", "steps_of"]

#: The longest text that arguments get.
_LONGEST: Final = 60

#: Tags of values that name a class first.
_NAMED: Final = ("$class", "$reference", "$dataclass", "$enum", "$namedtuple")

_BRACKETS: Final = {"$tuple": "()", "$set": "{}", "$frozenset": "{}", "$deque": "[]"}


class Shown(Entry):
    """One transaction with all that belongs to it, as `Journal.show` returns it."""

    __slots__ = ()

    @property
    def report(self) -> Report:
        """The same as a report, to be printed, drawn, or written as plain data."""
        made = Report.from_dict(report_data(self))
        made.origin = self.origin
        return made


def steps_of(store: Store, transaction: int) -> list[StepReport]:
    """The steps of a transaction, as the file has them now; none if it cannot be read any more."""
    try:
        return Shown(*entry_of(store, transaction)).report.steps
    except (JournalError, LookupError):
        return []


def report_data(entry: Entry) -> dict[str, Any]:
    """What `Report.as_dict` gives for a transaction that runs here, of one that the journal has.

    The file knows nothing of savepoints, so all steps stand in one row; nor of queued steps that were never started,
    or of hooks that are not durable.

    Args:
        entry: what `Journal.show` returns, with its steps and hooks.
    """
    steps = [_step(step, entry) for step in entry.steps]
    named: dict[str, list[str]] = {}
    for step in steps:
        named.setdefault(str(step["undo"]), []).append(step["name"])
    times = (_seconds(entry.started), *(step["started"] for step in steps[:1]))
    begun = [time for time in times if time is not None]
    hooks = [_hook(hook) for hook in entry.hooks]
    kinds = ("not undone", "skipped", "undo failed", "conflict", "abandoned")
    left = [name for kind in kinds for name in named.get(kind, [])]
    return {
        "format": 1,
        "kind": "transaction",
        "name": str(entry.name),
        "id": entry.id,
        "state": str(entry.state),
        "error": _text(entry.error),
        "started": min(begun, default=None),  # its row is written with that of its first step, a little later
        "ended": _seconds(entry.ended),
        "steps": steps,
        "undone": _in_order_of_undoing(entry, steps),
        "failures": _failures(steps, "undo failed"),
        "conflicts": _failures(steps, "conflict"),
        "skipped": named.get("skipped", []),
        "not_undone": named.get("not undone", []),
        "abandoned": named.get("abandoned", []),
        "dropped": [step["name"] for step in steps if step["state"] == "dropped"],
        "left": left,
        "hooks": hooks,
        "hook_failures": [
            {"hook": hook["name"], "error": hook["error"]} for hook in hooks if hook["state"] == "failed"
        ],
        "hooks_not_run": [hook["name"] for hook in hooks if hook["state"] == "not run" and not entry.live],
        "never_awaited": [],
        "journal_failures": [],
        "clean": not left,
        "reason": _text(entry.reason) if entry.ended is None else None,  # it may have been abandoned since
    }


def _step(step: StepEntry, entry: Entry) -> dict[str, Any]:
    undo, reason, undo_error = _undo(step, entry)
    return {
        "number": step.number,
        "kind": "by hand" if step.kind == "by hand" else "step",
        "name": _name(step.name, in_a_module=step.kind in ("action", "by hand")),
        "arguments": _arguments(step.arguments),
        "state": _state(step, entry),
        "attempts": step.attempts,
        "error": _error(step.error),
        "undo": undo,
        "undo_attempts": step.undo_attempts,
        "undo_error": undo_error,
        "reason": reason,
        "key": _text(step.key),
        "queued": None,
        "started": _seconds(step.started),
        "ended": _seconds(step.ended),
        "undo_started": _seconds(step.undo_started),
        "undo_ended": _seconds(step.undo_ended),
        "contains": [],
    }


def _hook(hook: HookEntry) -> dict[str, Any]:
    called = hook.error is None  # what was abandoned has ended, and says why
    state = ("done" if called else "not run") if hook.ended is not None else "not run" if called else "failed"
    return {"name": _name(hook.name, in_a_module=True), "state": state, "error": _text(hook.error)}


def _name(recorded: object, *, in_a_module: bool) -> str:
    """The name that a report has: without the module."""
    name = str(recorded)
    module, _, rest = name.partition(":")
    is_place = all(part.replace(".", "").isidentifier() for part in (module, rest))  # and no name that was given
    return rest if in_a_module and is_place else name


def _state(step: StepEntry, entry: Entry) -> str:
    if step.state == "never run":
        return "dropped"
    if step.state == "running" and (entry.live is False or entry.state != "open"):
        return "unknown"  # its process has died in it
    return str(step.state)


def _undo(step: StepEntry, entry: Entry) -> tuple[str | None, str | None, str | None]:
    """What has become of its undo, why it was left, and what its undo has raised."""
    undo, reason, error = step.undo, _text(step.reason), _text(step.undo_error)
    if step.undo_attempts and step.undo_ended is None and undo in (None, "undo failed"):
        if entry.live is not False:
            return "running", None, None
        if undo is None:
            return None, "its process died in its undo", None
    if undo is None and entry.state == "stuck" and step.state != "never run":
        return ("abandoned", None, None) if reason is None else ("undo failed", None, reason)
    if undo in ("undo failed", "conflict"):
        return undo, None, reason or error
    if undo == "not undone":
        return undo, reason or ("no rollback handler" if step.handler == "" else None), None
    if undo == "skipped":
        return undo, reason or "its undo needs its result, which it does not have", None
    if undo == "undone" and not step.undo_attempts and reason is None:
        return None, None, None  # it is read only: there was no need to
    return undo, reason, None


def _in_order_of_undoing(entry: Entry, steps: list[dict[str, Any]]) -> list[str]:
    """The names of the steps that are undone; those of one moment, the last one first."""
    undone = [(step, data) for step, data in zip(entry.steps, steps, strict=True) if data["undo"] == "undone"]
    undone.sort(key=lambda each: (_seconds(each[0].undone) or 0.0, -each[0].number))
    return [data["name"] for _, data in undone]


def _failures(steps: list[dict[str, Any]], undo: str) -> list[dict[str, Any]]:
    return [{"step": step["name"], "error": step["undo_error"] or ""} for step in steps if step["undo"] == undo]


# -- what the columns hold, whatever somebody has written into them


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _seconds(time: object) -> float | None:
    """A time of the file, which is UTC, as seconds since the epoch."""
    try:
        return datetime.fromisoformat(str(time)).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _error(recorded: str | None) -> str | None:
    """The text of an exception as a step has it."""
    if recorded is None:
        return None
    try:
        return str(json.loads(recorded)["text"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return str(recorded)


def _arguments(recorded: str | None) -> str:
    """The arguments in one short line: ``name='ada', amount=900``."""
    if recorded is None:
        return ""
    try:
        data: Any = json.loads(recorded)
        if isinstance(data, list):  # what was done by hand: the positional ones, and the others
            args, kwargs = data
            parts = [*map(_brief, islice(args, _LONGEST)), *_named_values(kwargs)]
        else:
            parts = _named_values(data)
        text = ", ".join(parts)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        text = str(recorded)
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: _LONGEST + 1])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _named_values(data: Any) -> list[str]:
    return [f"{name}={_brief(value)}" for name, value in islice(data.items(), _LONGEST)]


def _brief(data: Any) -> str:
    """A value as it looks in Python, more or less, and no longer than needs be."""
    if isinstance(data, str):
        return repr(data[:_LONGEST])
    if isinstance(data, list):
        return f"[{_listed(data)}]"
    if not isinstance(data, dict):
        return repr(data)
    if len(data) == 1 and next(iter(data)).startswith("$"):
        return _brief_object(*next(iter(data.items())))
    return f"{{{', '.join(f'{key!r}: {_brief(value)}' for key, value in islice(data.items(), _LONGEST))}}}"


def _brief_object(tag: str, part: Any) -> str:
    """The same for what is no plain JSON: how the serializer writes these."""
    if tag in ("$redacted", "$resource"):
        return f"<{tag[1:]}>"
    if tag in _BRACKETS:
        items = part[0] if tag == "$deque" else part
        brackets = _BRACKETS[tag]
        return f"{brackets[0]}{_listed(items)}{',' if tag == '$tuple' and len(items) == 1 else ''}{brackets[1]}"
    if tag in _NAMED:
        name, rest = (part[0], part[1:]) if isinstance(part, list) else (part, [])
        short = str(name).rpartition(":")[2]
        return short if tag == "$class" else f"{short}({_inside(rest)})"
    if tag in ("$dict", "$ordered"):
        return f"{{{', '.join(f'{_brief(key)}: {_brief(value)}' for key, value in islice(part, _LONGEST))}}}"
    if tag in ("$bytes", "$bytearray"):
        return repr(base64.b64decode(part[: 4 * _LONGEST]))
    return str(int(part, 16)) if tag == "$int" else f"{tag[1:]}({_inside([part])})"


def _inside(rest: list[Any]) -> str:
    """What stands in the brackets behind the name of a class: its fields, or its values."""
    if len(rest) == 1 and isinstance(rest[0], dict) and not next(iter(rest[0]), "").startswith("$"):
        return ", ".join(_named_values(rest[0]))
    return _listed(rest[0]) if len(rest) == 1 and isinstance(rest[0], list) else _listed(rest)


def _listed(items: list[Any]) -> str:
    return ", ".join(map(_brief, islice(items, _LONGEST)))
