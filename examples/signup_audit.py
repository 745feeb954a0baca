"""After the sign-ups: ask all five systems what they hold, compare, and repair what is reported.

What must be true is worked out from the list of outcomes alone; what is true is asked of each
system by itself. Whatever differs was either named by a transaction's report, and then an operator
can repair exactly that, or it was left behind in silence, which must never happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actionqueues import Report, Step
from services import Systems
from services.homes import contents, skeleton

Holdings = dict[str, dict[str, Any]]  # system -> who -> what it holds for them


@dataclass(frozen=True)
class Row:
    """One line of the CSV file."""

    email: str
    username: str
    name: str
    country: str
    plan: str
    card: str


@dataclass(frozen=True)
class Outcome:
    """How the sign-up of one row ended."""

    row: Row
    report: Report
    signed_up: bool
    error: Exception | None = None
    attempts: int = 1  # at the charge


# ---------------------------------------------------------------- what is, and what must be


def holdings(systems: Systems) -> Holdings:
    """What each system holds, asked of the system itself."""
    users = systems.db.execute(
        "SELECT email, plan, status, seat IS NOT NULL FROM users"
        " LEFT JOIN founder_seats ON founder_seats.user = users.id"
    )
    paid: Counter[str] = Counter()
    for entry in systems.payments.ledger():
        paid[entry["reference"]] += 0 if entry["refunded"] else entry["cents"]
    entries = Counter(document["email"] for document in systems.search.documents())
    return {
        "database": {email: tuple(row) for email, *row in users},
        "homes": {**contents(systems.homes)},
        "payments": {email: cents for email, cents in paid.items() if cents},
        "search": {**entries},
        "mail": {**systems.mail_service.delivered()},
    }


def expected(before: Holdings, outcomes: Iterable[Outcome], prices: Mapping[str, int]) -> Holdings:
    """What was there before, and everything of each user that was signed up; no more."""
    must = {system: {**held} for system, held in before.items()}
    for outcome in outcomes:
        if outcome.signed_up:
            row = outcome.row
            must["database"][row.email] = (row.plan, "active", row.plan == "founder")
            must["homes"][row.username] = dict(skeleton(row.name))
            must["payments"][row.email] = prices[row.plan]
            must["search"][row.email] = 1
            must["mail"][row.email] = ["Welcome"]
    return must


# ---------------------------------------------------------------- what the reports name

SYSTEM_OF = {  # where each step leaves its traces
    "create_user": "database",
    "make_home": "homes",
    "charge": "payments",
    "index_user": "search",
    "take_seat": "database",
    "activate": "database",
    "welcome": "mail",
}


@dataclass(frozen=True)
class OpenPoint:
    """Something that a report says was left behind, or is still owed, and what to do about it."""

    system: str
    who: str
    problem: str
    remedy: str = "look at it by hand"
    repair: Callable[[Systems], None] | None = None


def open_points(
    outcomes: Iterable[Outcome], welcome: Callable[[Systems, Row], None]
) -> list[OpenPoint]:
    """All that the reports say is not in order: steps that were not undone, hooks that failed."""
    points: list[OpenPoint] = []
    for outcome in outcomes:
        row, report = outcome.row, outcome.report
        points += [_left_behind(row, step) for step in left_by(report)]
        points += [_still_owed(row, hook, welcome) for hook, _ in report.hook_failures]
    return points


def left_by(report: Report) -> list[Step[Any]]:
    """The steps that a rollback could not undo, for whatever reason."""
    tried = [step for step, _ in report.failures + report.conflicts]
    return tried + report.skipped + report.not_undone + report.abandoned


def _left_behind(row: Row, step: Step[Any]) -> OpenPoint:
    system = SYSTEM_OF[step.name]
    if step.name != "index_user":
        who = row.username if system == "homes" else row.email
        return OpenPoint(system, who, f"{step.name}: {step.state}")
    index, document = step.arguments["country"], str(step.arguments["user"])

    def repair(systems: Systems) -> None:
        systems.search.unlock(index)
        systems.search.delete(index, document)

    problem = f"entry {document} is still in index '{index}'"
    return OpenPoint(system, row.email, problem, "unlock the index, delete the entry", repair)


def _still_owed(row: Row, hook: str, welcome: Callable[[Systems, Row], None]) -> OpenPoint:
    system = SYSTEM_OF[hook]
    if hook != "welcome":
        return OpenPoint(system, row.email, f"{hook}: not done")

    def repair(systems: Systems) -> None:
        welcome(systems, row)

    return OpenPoint(system, row.email, "the welcome mail is not sent", "send it again", repair)


# ---------------------------------------------------------------- the comparison


def unreported(must: Holdings, held: Holdings, known: Iterable[OpenPoint]) -> list[tuple[str, str]]:
    """Each (system, who) that differs from what must be, without the ones that are known."""
    named = {(point.system, point.who) for point in known}
    return [
        (system, who)
        for system in must
        for who in sorted(must[system].keys() | held[system].keys())
        if must[system].get(who) != held[system].get(who) and (system, who) not in named
    ]


def summary(system: str, held: Mapping[str, Any]) -> str:
    """One cell of the table."""
    match system:
        case "database":
            return f"{len(held)} users, {sum(seat for _, _, seat in held.values())} founders"
        case "homes":
            return f"{len(held)} homes, {sum(map(len, held.values()))} files"
        case "payments":
            return f"{len(held)} paid {sum(held.values()) / 100:,.2f}"
        case "search":
            return f"{sum(held.values())} entries"
        case _:
            return f"{sum(map(len, held.values()))} mails"


def table(must: Holdings, held: Holdings, known: Iterable[OpenPoint]) -> str:
    """The comparison, a line a system; `known` are the differences that some report has named."""
    different = unreported(must, held, known=[])
    silent = unreported(must, held, known)
    lines = [f"  {'system':<10}{'must hold':<24}{'holds':<24}".rstrip()]
    for system in must:
        notes = [
            f"{_kind(who, must[system], held[system])} {who}"
            f" ({'IN NO REPORT' if (system, who) in silent else 'reported'})"
            for of, who in different
            if of == system
        ]
        cells = [summary(system, must[system]), summary(system, held[system])]
        lines.append(f"  {system:<10}{cells[0]:<24}{cells[1]:<24}{'; '.join(notes) or 'ok'}")
    return "\n".join(lines)


def _kind(who: str, must: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    if who not in held:
        return "missing:"
    return "different:" if who in must else "left behind:"


def ledger(systems: Systems) -> str:
    """The payment service's books in one line."""
    entries = systems.payments.ledger()
    charged = sum(entry["cents"] for entry in entries)
    back = [entry["cents"] for entry in entries if entry["refunded"]]
    return (
        f"the ledger: {len(entries)} charges {charged / 100:,.2f}"
        f" - {len(back)} refunds {sum(back) / 100:,.2f} = {(charged - sum(back)) / 100:,.2f}"
    )
