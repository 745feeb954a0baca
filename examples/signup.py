"""Sign users up for real, in five systems, and leave nothing of those that fail.

Each row of a CSV file becomes a row in SQLite, a home directory, a charge at a payment service, an
entry in a search index and, once all of that has succeeded, a welcome mail. Some rows fail, each
in its own way. At the end every system is asked what it holds and compared with what must be true.

    python examples/signup.py [--data FILE] [--workdir DIR]

The exit status is 0 if nothing was left behind but what a report had named, and that was repaired.
"""

from __future__ import annotations

import argparse
import csv
import logging
import shutil
import smtplib
import sqlite3
import sys
import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import services
from actionqueues import CommitHookFailed, Retry, Step, action, current_step, transaction
from services import Systems
from services.homes import skeleton
from services.payments import Payments, PaymentUnavailable
from services.search import Search
from signup_audit import (
    Outcome,
    Row,
    expected,
    holdings,
    ledger,
    left_by,
    open_points,
    table,
    unreported,
)

DATA = Path(__file__).resolve().parent / "data" / "signups.csv"
PRICES = {"starter": 900, "pro": 2900, "founder": 19900}  # in cents

# ---------------------------------------------------------------- the steps, each with its undo


@action
def create_user(db: sqlite3.Connection, email: str, name: str, plan: str) -> int:
    """The row is 'pending' until all is done, so that nobody takes it for a user meanwhile."""
    [(user,)] = db.execute(
        "INSERT INTO users (email, name, plan) VALUES (?, ?, ?) RETURNING id", (email, name, plan)
    )
    current_step().save(user=user)  # also where Ctrl-C comes before the result is there
    return int(user)


@create_user.rollback
def delete_user(db: sqlite3.Connection, step: Step[int]) -> None:
    if "user" in step.saved:  # else the INSERT was refused, and the row of that name is another's
        db.execute("DELETE FROM users WHERE id = ?", (step.saved["user"],))


@action
def make_home(homes: Path, username: str, name: str) -> None:
    home = homes / username
    home.mkdir()  # FileExistsError where somebody was here before: nothing made, nothing to undo
    current_step().save(made=home)
    for file, content in skeleton(name):
        (home / file).write_bytes(content)


@make_home.rollback
def remove_home(step: Step[Any]) -> None:
    # A step that broke half-way saved what it had made until then; an undo may run a second time.
    if "made" in step.saved and step.saved["made"].exists():
        shutil.rmtree(step.saved["made"])


# Sending a charge again is safe, even after a lost answer, because the key stays the same.
@action(
    retry=Retry(
        attempts=4,
        wait_initial=0.02,
        wait_jitter=0.01,
        on=(PaymentUnavailable, ConnectionError),
    )
)
def charge(payments: Payments, card: str, cents: int, email: str) -> int:
    """Take the money; return how many attempts it took."""
    step = current_step()
    payments.charge(card, cents, email, idempotency_key=step.key)
    return step.attempts


# No `result` here: if the answer was lost there is none, and the money may be gone all the same.
@charge.rollback(retry=Retry(attempts=10, wait_initial=0.02, on=ConnectionError))
def refund(payments: Payments, step: Step[Any]) -> None:
    payments.refund_by_key(step.key, idempotency_key=step.undo_key)


@action
def index_user(search: Search, country: str, user: int, email: str, name: str) -> None:
    search.put(country, str(user), {"email": email, "name": name})


@index_user.rollback
def unindex_user(search: Search, country: str, user: int) -> None:
    search.delete(country, str(user))


class SoldOut(Exception):
    """All founder seats are taken."""


@action
def take_seat(db: sqlite3.Connection, user: int) -> None:
    """Last of all, so that the scarce thing is held for the shortest time."""
    seats = db.execute(
        "UPDATE founder_seats SET user = ? WHERE seat ="
        " (SELECT min(seat) FROM founder_seats WHERE user IS NULL)",
        (user,),
    )
    if seats.rowcount == 0:
        raise SoldOut("all founder seats are taken")


@take_seat.rollback
def free_seat(db: sqlite3.Connection, user: int) -> None:
    db.execute("UPDATE founder_seats SET user = NULL WHERE user = ?", (user,))


# ---------------------------------------------------------------- once it has committed


def activate(db: sqlite3.Connection, user: int) -> None:
    db.execute("UPDATE users SET status = 'active' WHERE id = ?", (user,))


def welcome(systems: Systems, row: Row) -> None:
    systems.mail.send(row.email, "Welcome", f"Hello {row.name},\n\nyour account is ready.\n")


# ---------------------------------------------------------------- the transaction


def sign_up(systems: Systems, row: Row) -> Outcome:
    q = transaction("sign-up")  # out here, since its report is read when the block has failed
    try:
        with q:
            user = create_user(systems.db, row.email, row.name, row.plan)
            make_home(systems.homes, row.username, row.name)
            attempts = charge(systems.payments, row.card, PRICES[row.plan], row.email)
            index_user(systems.search, row.country, user, row.email, row.name)
            if row.plan == "founder":
                take_seat(systems.db, user)
            q.on_commit(activate, systems.db, user)
            q.on_commit(welcome, systems, row)
    except CommitHookFailed as error:  # signed up, but something after it is still owed
        return Outcome(row, q.report, signed_up=True, error=error)
    except Exception as error:  # one bad row does not stop the import
        return Outcome(row, q.report, signed_up=False, error=error)
    return Outcome(row, q.report, signed_up=True, attempts=attempts)


# ---------------------------------------------------------------- what is printed


@contextmanager
def logging_to(file: Path) -> Generator[None, None, None]:
    """Keep what the library logs, tracebacks of failed undos, in `file` and off the screen."""
    logger = logging.getLogger("actionqueues")
    with closing(logging.FileHandler(file, encoding="utf-8")) as handler:
        logger.propagate = False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


def account(number: int, outcome: Outcome) -> str:
    """What is printed about one row: a line, and below it what the library noted on the error."""
    report = outcome.report
    ended = "signed up" if outcome.signed_up else f"{len(report.undone)} undone"
    if left := left_by(report):
        ended += f", {len(left)} NOT"
    notes = [f"{hook} failed: {reason(error)}" for hook, error in report.hook_failures]
    if outcome.error is not None and not outcome.signed_up:
        notes.append(reason(outcome.error))
    if outcome.attempts > 1:
        notes.append(f"charged at attempt {outcome.attempts}")
    line = f"{number:4} {outcome.row.email:<26}{ended:<17}{'; '.join(notes)}".rstrip()
    return "\n".join([line, *(f"     {note}" for note in getattr(outcome.error, "__notes__", ()))])


def reason(error: BaseException) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return ", ".join(text.decode() for _, text in error.recipients.values())
        case OSError(filename=str(name)):
            return f"{Path(name).name}: {error.strerror}"
        case UnicodeEncodeError():
            return f"{error.object[error.start : error.end]!a} is not in {error.encoding}"
        case _:
            return str(error)


# ---------------------------------------------------------------- the whole job


def run(systems: Systems, rows: list[Row]) -> int:
    before = holdings(systems)
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows, start=1):
        outcomes.append(sign_up(systems, row))
        print(account(number, outcomes[-1]), flush=True)

    must = expected(before, outcomes, PRICES)
    known = open_points(outcomes, welcome)
    held = holdings(systems)
    print("\nThe five systems, asked after the last row:")
    print(table(must, held, known))
    silent = unreported(must, held, known)

    print("\nWhat the reports named, and an operator now puts right:")
    for point in known:
        print(f"  {point.system:<10}{point.who}: {point.problem} -> {point.remedy}")
        if point.repair is not None:
            point.repair(systems)

    held = holdings(systems)
    print("\nThe five systems, asked again:")
    print(table(must, held, known))
    print(f"  {ledger(systems)}")
    left = unreported(must, held, known=[])

    signed_up = sum(outcome.signed_up for outcome in outcomes)
    print(f"\n{signed_up} signed up, {len(outcomes) - signed_up} undone. ", end="")
    if silent or left:
        print(f"FAILED: {len(silent)} differences were in no report, {len(left)} remain.")
        return 1
    print("OK: every difference was in a report, and none is left.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=DATA, help="who signs up, as CSV (default: the one beside me)"
    )
    parser.add_argument("--workdir", type=Path, help="keep everything in this new directory")
    options = parser.parse_args()
    with options.data.open(encoding="utf-8", newline="") as file:
        rows = [Row(**record) for record in csv.DictReader(file)]
    place: AbstractContextManager[str] = tempfile.TemporaryDirectory(prefix="signup-")
    if options.workdir is not None:
        options.workdir.mkdir(parents=True, exist_ok=True)
        if any(options.workdir.iterdir()):
            parser.error(f"{options.workdir} is not empty")
        place = nullcontext(str(options.workdir))
    with (
        place as folder,
        logging_to(Path(folder) / "signup.log"),
        services.running(Path(folder)) as systems,
    ):
        return run(systems, rows)


if __name__ == "__main__":
    sys.exit(main())
