"""The matrix of a sweep, steps by faults: as text for a terminal, and as a page that needs nothing else.

Stands on outcomes.  Used by the plugin for pytest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    untried: list[str]  #: what was not tried, and why


def as_data(test: str, outcomes: Iterable[Outcome], stopped: str | None, untried: Iterable[str] = ()) -> Swept:
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
    return {"test": test, "trials": trials, "stopped": stopped or "", "untried": list(untried)}


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


#: So many rows are drawn at most, but for those where something was found.
_ROWS = 40


def matrix_lines(swept: Swept, width: int = 80) -> list[list[Cell]]:
    """The lines of a matrix: ``ok``, ``FAIL``, with a number where several trials are meant, or ``-`` for none.

    Args:
        swept: the sweep.
        width: how many columns a line may have; what does not fit comes below.
    """
    places, faults, cells = _table(swept)
    found = {place for (place, _), trials in cells.items() if any(trial["bug"] for trial in trials)}
    shown = [place for number, place in enumerate(places) if number < _ROWS or place in found]
    labels = {place: _shortened(place, max(width // 3, 12)) for place in shown}
    left = max(map(len, labels.values()), default=0)
    sizes = {
        fault: max(len(fault), *(len(_mark(cells.get((place, fault), ()))[0]) for place in shown)) for fault in faults
    }
    lines: list[list[Cell]] = []
    for group in _groups(faults, sizes, width - left):
        lines.append([(" " * left + "".join(f"  {fault.ljust(sizes[fault])}" for fault in group), "")])
        for place in shown:
            if any((place, fault) in cells for fault in group):
                marks = [(_mark(cells.get((place, fault), ())), sizes[fault]) for fault in group]
                row: list[Cell] = [(labels[place].ljust(left), "")]
                for (text, kind), size in marks:
                    row += [("  ", ""), (text.ljust(size), kind)]
                lines.append(row)
    if len(shown) < len(places):
        lines.append([(f"and {len(places) - len(shown)} more, where nothing was found", "")])
    if swept["stopped"]:
        lines.append([(f"stopped: {swept['stopped']}", "failed")])
    return [*lines, *([(untried, "")] for untried in swept["untried"])]


def _groups(faults: Sequence[str], sizes: Mapping[str, int], width: int) -> list[list[str]]:
    """The columns that fit beside each other."""
    groups: list[list[str]] = []
    room = 0
    for fault in faults:
        if not groups or room < sizes[fault] + 2:
            groups.append([])
            room = width
        groups[-1].append(fault)
        room -= sizes[fault] + 2
    return groups


def _shortened(text: str, width: int) -> str:
    """A text with its middle left out, if it is too long; its end has the number."""
    half = (width - 3) // 2
    return text if len(text) <= width else f"{text[:half]}...{text[len(text) - width + half + 3 :]}"


_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #8886;padding:.3rem .6rem;
text-align:center}th:first-child{text-align:left}td.ok{background:#2a92;}td.failed{background:#d335;font-weight:600}
pre{background:#8882;padding:1rem;overflow-x:auto;white-space:pre-wrap}h2{font-size:1.1rem;font-family:monospace;overflow-wrap:anywhere}
"""


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def page(sweeps: Sequence[Swept]) -> str:
    """A self-contained HTML page with the matrices, and what was found."""
    sweeps = [swept for swept in sweeps if swept["trials"]]
    trials = [trial for swept in sweeps for trial in swept["trials"]]
    bad = sum(bool(trial["bug"]) for trial in trials)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Rollback sweeps</title><style>{_STYLE}</style><h1>Rollback sweeps</h1>",
        f"<p>{_count(sweeps, 'sweep')}, {_count(trials, 'fault')} injected, {bad} found something.</p>",
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
        parts += [f"<p>{escape(untried)}</p>" for untried in swept["untried"]]
        parts += [f"<pre>{escape(trial['message'])}</pre>" for trial in swept["trials"] if trial["bug"]]
    return "\n".join([*parts, "</html>", ""])
