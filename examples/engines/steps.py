"""The steps of a sign-up, each with its undo. Nothing here knows where they run.

They reach the five systems of `services/` by themselves, since a step may run in a process that has
never seen the block: what they are given, and return, is plain data.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import services
from actionqueues import Retry, Step, action, current_step
from services import Systems
from services.homes import contents, skeleton
from services.payments import PaymentRefused, PaymentUnavailable

__all__ = ["PaymentRefused", "charge", "create_user", "make_home", "running", "told", "welcome"]

_running: list[Systems] = []


def systems() -> Systems:
    return _running[-1]


@contextmanager
def database() -> Generator[sqlite3.Connection, None, None]:
    """A connection of this step's own, whatever thread it runs in."""
    file = systems().homes.parent / "app.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        yield db


@action
async def create_user(email: str, name: str, plan: str) -> int:
    with database() as db:
        [(user,)] = db.execute(
            "INSERT INTO users (email, name, plan) VALUES (?, ?, ?) RETURNING id",
            (email, name, plan),
        )
    return int(user)


@create_user.rollback
async def delete_user(email: str) -> None:
    with database() as db:
        db.execute("DELETE FROM users WHERE email = ?", (email,))


@action
async def make_home(username: str, name: str) -> None:
    home = systems().homes / username
    home.mkdir()  # FileExistsError where somebody was here before: nothing made, nothing to undo
    current_step().save(made=username)
    for file, content in skeleton(name):
        (home / file).write_bytes(content)


@make_home.rollback
async def remove_home(step: Step) -> None:
    if "made" in step.saved:
        shutil.rmtree(systems().homes / step.saved["made"], ignore_errors=True)


@action(retry=Retry(attempts=4, wait_initial=0.05, on=(PaymentUnavailable, ConnectionError)))
async def charge(card: str, cents: int, email: str) -> None:
    """The key is the same in each attempt, also in another process, so money is taken once."""
    key = current_step().key
    await asyncio.to_thread(systems().payments.charge, card, cents, email, idempotency_key=key)


@charge.rollback(retry=Retry(attempts=10, wait_initial=0.05, on=ConnectionError))
async def refund(step: Step) -> None:
    refund_by_key = systems().payments.refund_by_key
    await asyncio.to_thread(refund_by_key, step.key, idempotency_key=step.undo_key)


@action
async def welcome(email: str, name: str) -> None:
    text = f"Hello {name},\n\nyour account is ready.\n"
    await asyncio.to_thread(systems().mail.send, email, "Welcome", text)


# ---------------------------------------------------------------- the systems, and what they hold


@contextmanager
def running() -> Generator[None, None, None]:
    """Start the five systems on this machine; stop them at the end."""
    with TemporaryDirectory(prefix="signup-") as folder, services.running(Path(folder)) as started:
        _running.append(started)
        try:
            yield
        finally:
            _running.remove(started)


def told() -> str:
    """What each system holds of sign-ups, asked now."""
    with database() as db:
        users = [email for (email,) in db.execute("SELECT email FROM users ORDER BY id")]
    homes = [home for home in contents(systems().homes) if home != "iris"]
    paid = [each["reference"] for each in systems().payments.ledger() if not each["refunded"]]
    mails = sorted(systems().mail_service.delivered())
    return f"users {users}, homes {homes}, paid {paid}, welcomed {mails}"
