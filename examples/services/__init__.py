"""The five systems a sign-up writes to, all of them real and all of them on this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.mail import Mail, MailService
from services.payments import Payments, PaymentService
from services.search import Search, SearchService

FOUNDER_SEATS = 3

# AUTOINCREMENT, so that the id of a row that was undone is never given to somebody else: other
# systems know the user by it, and an undo that comes late must not hit the next one.
SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'active')));
CREATE TABLE founder_seats (
    seat INTEGER PRIMARY KEY,
    user INTEGER UNIQUE REFERENCES users);
"""


@dataclass(frozen=True)
class Systems:
    db: sqlite3.Connection
    homes: Path
    payments: Payments
    search: Search
    mail: Mail
    mail_service: MailService


@contextmanager
def running(workdir: Path) -> Generator[Systems, None, None]:
    """Start all five in `workdir`; stop and join them at the end."""
    with ExitStack() as stack:
        db = stack.enter_context(closing(sqlite3.connect(workdir / "app.db", isolation_level=None)))
        db.execute("PRAGMA foreign_keys = ON")
        db.executescript(SCHEMA)
        db.executemany(
            "INSERT INTO founder_seats (seat) VALUES (?)",
            [(seat,) for seat in range(1, FOUNDER_SEATS + 1)],
        )

        homes = workdir / "homes"
        homes.mkdir()
        older = homes / "iris"  # somebody had this name before us; it is not ours to touch
        older.mkdir()
        (older / "thesis.txt").write_text("Three years of work.\n", encoding="utf-8")

        payments = stack.enter_context(PaymentService(workdir / "payments.db"))
        search = stack.enter_context(SearchService(limits={"is": 3}))
        mail = stack.enter_context(MailService(workdir / "mail"))
        yield Systems(
            db=db,
            homes=homes,
            payments=Payments(payments.port),
            search=Search(search.port),
            mail=Mail(mail.port),
            mail_service=mail,
        )
