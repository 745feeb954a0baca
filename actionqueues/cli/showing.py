"""``list`` and ``show``: what is in a journal.

Stands on the journal that is named.  Used by the parser.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from actionqueues.views.coloured import print_report
from actionqueues.views.svg import to_svg

from .naming import journal_of, named
from .printing import one_line, print_json, print_table, say
from .status import LEFT, OK

if TYPE_CHECKING:
    from actionqueues.journal.inspecting import Entry

__all__ = ["is_left", "list_all", "show", "state_of", "why_of"]


def list_all(options: argparse.Namespace) -> int:
    """Print the transactions as a table."""
    found = journal_of(options).transactions(*options.state)
    if options.json:
        print_json([entry.as_dict() for entry in found])
    else:
        rows = [
            [
                str(each.id),
                state_of(each),
                each.started[:16],
                str(each.step_count),
                each.name,
                why_of(each),
            ]
            for each in found
        ]
        head = ["ID", "STATE", "STARTED (UTC)", "STEPS", "NAME", "WHY"]
        print_table(head, rows, givers=2, spare=("STARTED (UTC)", "STEPS"))
        if any(is_left(each) and each.state in ("open", "rolling back") for each in found):
            _advise("What dead processes left is undone by", f"recover {named(options)}")
        stuck = [str(each.id) for each in found if is_left(each) and each.state in ("stuck", "committed")]
        if stuck:
            which = stuck[0] if len(stuck) == 1 else "ID"
            _advise("Why something is stuck, and what to do, says", f"show {shlex.quote(options.file)} {which}")
    return LEFT if any(is_left(each) for each in found) else OK


def state_of(entry: Entry) -> str:
    """Its state, in the word for people."""
    return "running" if entry.live and entry.state == "open" else entry.state


def why_of(entry: Entry) -> str:
    """Why it is as it is: what was wrong, or else what has become of the process that works on it."""
    fate = "" if not is_left(entry) else "its process has died" if entry.live is False else "its process may live"
    return entry.reason or entry.error or fate


def is_left(entry: Entry) -> bool:
    """Whether there is something left to do, and no live process is known to be doing it."""
    return entry.ended is None and not entry.live


def show(options: argparse.Namespace) -> int:
    """Print one transaction, and what can be done about it."""
    from actionqueues.journal.inspecting import has_only_conflicts  # here, so that `--help` needs no sqlite3

    entry = journal_of(options).show(options.id)
    if options.json:
        print_json(entry.as_dict())
    elif options.text or options.svg:
        _draw(entry, options.svg)
    else:
        running = ", a live process is working on it" if entry.live else ""
        say(f"transaction {entry.id} {one_line(entry.name)}: {entry.state}{running}")
        say(f"started {entry.started}, {f'ended {entry.ended}' if entry.ended else 'has not ended'}")
        for label, text in (("error", entry.error), ("reason", entry.reason)):
            if text:
                say(f"{label}: {one_line(text)}")
        rows = [[str(s.number), s.state, s.undo or "-", s.name, s.arguments or ""] for s in entry.steps]
        print_table(["STEP", "STATE", "UNDO", "NAME", "ARGUMENTS"], rows, givers=2)
        for step in entry.steps:
            why = step.reason or _error_of(step.error)
            if why:
                say(f"step {step.number}: {one_line(why)}")
        hooks = [[str(h.number), (h.ended or "to be called")[:19], h.name, h.arguments] for h in entry.hooks]
        if hooks:
            print_table(["HOOK", "CALLED", "NAME", "ARGUMENTS"], hooks, givers=2)
        for hook in entry.hooks:
            if hook.error:
                say(f"hook {hook.number}: {one_line(hook.error)}")
        if is_left(entry):
            again = f"recover {named(options, entry.id)}"
            decided = f"resolve {shlex.quote(options.file)} {entry.id}"
            if (entry.reason or "").startswith("damaged: "):
                _advise("Once that row is mended:", again)
            elif entry.state == "stuck":
                if not has_only_conflicts(entry):
                    _advise("Once the reason is gone:", again)
                _advise("Undone by hand:", f"{decided} STEP --undone")
                _advise("To stay as it is:", f"{decided} STEP --not-undone")
            elif entry.state == "committed":
                _advise("To call its hooks, once the reason is gone:", again)
                _advise("Not to be called:", f"{decided} HOOK --hook")
            elif entry.live is None:  # pragma: no cover - for one who may only read, in another process
                _advise("Its process may live; nobody can tell from here. If it has died, this undoes it:", again)
            else:
                _advise("Its process has died. To undo it:", again)
    return LEFT if is_left(entry) else OK


def _draw(entry: Entry, svg: str | None) -> None:
    """Print its timeline, or write it as a picture into a file."""
    from actionqueues.journal.reporting import report_data  # here, so that `--help` needs no sqlite3

    data = report_data(entry)
    if svg is None:
        print_report(data)
    elif svg == "-":
        say(to_svg(data).encode("ascii", "xmlcharrefreplace").decode())  # in whatever encoding, it is the same
    else:
        Path(svg).write_text(to_svg(data), encoding="utf-8")


def _advise(when: str, command: str) -> None:
    say(when)
    say(f"  actionqueues {command}")


def _error_of(recorded: str | None) -> str:
    """The text of an exception as a step has it."""
    try:
        return str(json.loads(recorded or "{}").get("text", ""))
    except (ValueError, AttributeError):  # somebody has written into the file
        return recorded or ""
