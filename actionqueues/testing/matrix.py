"""The matrix of a sweep, steps by faults: as text for a terminal, and as a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TypeAlias, TypedDict

from .faults import Fault
from .outcomes import Outcome

__all__ = ["Cell", "Swept", "as_data", "matrix_lines", "page"]

#: A piece of a line, and ``"ok"``, ``"failed"`` or ``""``.
Cell: TypeAlias = tuple[str, str]

_ORDER = {fault: place for place, fault in enumerate(Fault)}


class _Trial(TypedDict):
    id: str
    fault: str
    place: str
    bug: str
    message: str


class Swept(TypedDict):
    """A sweep as plain data, fit for JSON."""

    test: str  #: the id of the test
    trials: list[_Trial]
    stopped: str  #: why there were no further trials, or empty
    untried: str  #: why crashes were not tried, or empty


def as_data(test: str, outcomes: Iterable[Outcome], stopped: str | None, untried: str | None = None) -> Swept:
    """A sweep as plain data."""
    trials: list[_Trial] = [
        {
            "id": outcome.id,
            "fault": str(outcome.fault),
            "place": outcome.place.partition(".")[0] if outcome.fault is Fault.CRASH else outcome.place,
            "bug": "" if outcome.bug is None else str(outcome.bug),
            "message": outcome.message,
        }
        for outcome in outcomes
    ]
    return {"test": test, "trials": trials, "stopped": stopped or "", "untried": untried or ""}


def _table(swept: Swept) -> tuple[list[str], list[str], dict[tuple[str, str], list[_Trial]]]:
    cells: dict[tuple[str, str], list[_Trial]] = {}
    for trial in swept["trials"]:
        cells.setdefault((trial["place"], trial["fault"]), []).append(trial)
    faults = sorted({fault for _, fault in cells}, key=lambda fault: _ORDER[Fault(fault)])
    return list(dict.fromkeys(place for place, _ in cells)), faults, cells


def _mark(trials: Sequence[_Trial]) -> tuple[str, str]:
    if not trials:
        return "-", ""
    bad = sum(bool(trial["bug"]) for trial in trials)
    count = str(len(trials)) if len(trials) > 1 else ""
    return (f"FAIL{bad if count else ''}", "failed") if bad else (f"ok{count}", "ok")


def matrix_lines(swept: Swept) -> list[list[Cell]]:
    """The lines of a matrix: ``ok``, ``FAIL``, with a number where several trials are meant, or ``-`` for none."""
    places, faults, cells = _table(swept)
    left = max((len(place) for place in places), default=0)
    lines: list[list[Cell]] = [[(" " * left + "  " + "  ".join(faults), "")]]
    for place in places:
        line: list[Cell] = [(place.ljust(left), "")]
        for fault in faults:
            text, kind = _mark(cells.get((place, fault), ()))
            line += [("  ", ""), (text.ljust(len(fault)), kind)]
        lines.append(line)
    if swept["stopped"]:
        lines.append([(f"stopped: {swept['stopped']}", "failed")])
    if swept["untried"]:
        lines.append([(swept["untried"], "")])
    return lines


_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #8886;padding:.3rem .6rem;
text-align:center}th:first-child{text-align:left}td.ok{background:#2a92;}td.failed{background:#d335;font-weight:600}
pre{background:#8882;padding:1rem;overflow-x:auto;white-space:pre-wrap}h2{font-size:1.1rem;font-family:monospace}
"""


def page(sweeps: Sequence[Swept]) -> str:
    """A self-contained HTML page with the matrices, and what was found."""
    trials = [trial for swept in sweeps for trial in swept["trials"]]
    bad = sum(bool(trial["bug"]) for trial in trials)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Rollback sweeps</title><style>{_STYLE}</style><h1>Rollback sweeps</h1>",
        f"<p>{len(sweeps)} sweeps, {len(trials)} faults injected, {bad} found something.</p>",
    ]
    for swept in sweeps:
        places, faults, cells = _table(swept)
        head = "".join(f'<th scope="col">{escape(fault)}</th>' for fault in faults)
        parts.append(f"<h2>{escape(swept['test'])}</h2><table><thead><tr><th>step</th>{head}</tr></thead><tbody>")
        for place in places:
            row = [f'<tr><th scope="row">{escape(place)}</th>']
            for fault in faults:
                text, kind = _mark(cells.get((place, fault), ()))
                row.append(f'<td class="{kind}">{text}</td>')
            parts.append("".join(row) + "</tr>")
        parts.append("</tbody></table>")
        if swept["stopped"]:
            parts.append(f"<p><strong>Stopped:</strong> {escape(swept['stopped'])}</p>")
        if swept["untried"]:
            parts.append(f"<p>{escape(swept['untried'])}</p>")
        parts += [f"<pre>{escape(trial['message'])}</pre>" for trial in swept["trials"] if trial["bug"]]
    return "\n".join([*parts, "</html>", ""])
