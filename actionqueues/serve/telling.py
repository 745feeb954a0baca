"""What the page is told of a journal: plain data with harmless texts, which are the same as long as the file is.

Stands on what is in the file, and on reports.  Used by the application.
"""

from __future__ import annotations

from typing import Any, Final, cast

from actionqueues.journal import Journal
from actionqueues.journal.inspecting import Entry, StepEntry, current_entries
from actionqueues.journal.reporting import report_data
from actionqueues.views.labels import safe

__all__ = ["details", "overview"]

#: So many of the transactions that have ended, and so many steps of one, are shown.
_ENDED: Final = 200
_STEPS: Final = 400


def overview(journal: Journal) -> list[dict[str, Any]]:
    """All transactions that have not ended, and the latest of those that have, the oldest first."""
    return [_summary(entry) for entry in current_entries(journal.store, ended=_ENDED)]


def details(entry: Entry) -> dict[str, Any]:
    """One transaction: what there is to see of it, and what there is to decide."""
    report = report_data(entry)
    steps = [
        {**step, "decide": _is_undecided(row) and _is_to_decide(entry, "stuck")}
        for row, step in zip(entry.steps, report["steps"], strict=True)
    ]
    hooks = [
        {
            **hook,
            "number": row.number,
            "attempts": row.attempts,
            "decide": row.ended is None and _is_to_decide(entry, "committed"),
        }
        for row, hook in zip(entry.hooks, report["hooks"], strict=True)
    ]
    shown = _most_telling(steps)
    told: dict[str, Any] = _harmless(
        {
            **_summary(entry),
            "started": report["started"],
            "error": report["error"],
            "reason": report["reason"],
            "left": report["left"][:_STEPS],
            "steps": shown,
            "hidden": len(steps) - len(shown),
            "hooks": hooks,
            "retry": _is_left(entry),
            "abandon": _is_to_decide(entry, "stuck", "committed"),
        }
    )
    return told


def _summary(entry: Entry) -> dict[str, Any]:
    report = report_data(entry._replace(steps=(), hooks=()))
    return {
        "id": entry.id,
        "name": safe(entry.name),
        "group": _group(entry),
        "state": _state(entry),
        "started": report["started"],
        "ended": report["ended"],
        "count": entry.step_count,
        "why": safe(entry.reason or entry.error or ""),
    }


def _is_left(entry: Entry) -> bool:
    """Whether there is something left to do, and no live process is known to be doing it."""
    return entry.ended is None and not entry.live


def _group(entry: Entry) -> str:
    if entry.ended is not None:
        return str(entry.state)
    return "running" if entry.live else "stuck" if entry.state in ("stuck", "committed") else "died"


def _state(entry: Entry) -> str:
    """In words, with what became of its process."""
    if entry.ended is not None or entry.state == "stuck":
        return str(entry.state)
    if entry.live:
        return {"open": "running", "committed": "calling its hooks"}.get(entry.state, "rolling back")
    if entry.state == "committed":
        return "committed, hooks are due"
    return f"{entry.state}, its process {'has died' if entry.live is False else 'may live'}"


def _is_to_decide(entry: Entry, *states: str) -> bool:
    """Whether a person may decide: recovery has tried it, nobody works on it, and its rows can be read."""
    damaged = str(entry.reason).startswith("damaged: ")
    return entry.ended is None and entry.owner is None and entry.state in states and not damaged


def _is_undecided(step: StepEntry) -> bool:
    """What `rows.LEFT` says in SQL."""
    if step.undo is None:
        return step.state != "never run"
    return step.undo in ("undo failed", "conflict") or (step.undo == "skipped" and step.state in ("running", "unknown"))


def _most_telling(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of them, or, of very many, those that somebody has to look at, and the first and last of the others."""
    if len(steps) <= _STEPS:
        return steps
    telling = [step["number"] for step in steps if step["decide"] or step["error"] or step["undo_error"]]
    ends = zip(steps, reversed(steps), strict=True)
    others = [step["number"] for pair in ends for step in pair]
    chosen = set(list(dict.fromkeys((*telling, *others)))[:_STEPS])
    return [step for step in steps if step["number"] in chosen]


def _harmless(data: Any) -> Any:
    """The same with texts of one line each, in which nothing is hidden."""
    match data:
        case str():
            return safe(data)
        case dict():
            return {key: _harmless(value) for key, value in cast("dict[str, Any]", data).items()}
        case list():
            return [_harmless(item) for item in cast("list[object]", data)]
        case _:
            return data
