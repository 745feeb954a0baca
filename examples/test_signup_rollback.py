"""A test to copy: the sign-up of `signup.py`, in small, under every fault at every step.

    python -m pytest examples/test_signup_rollback.py

`rollback_sweep` finds the steps by itself. `state` names all systems that the sign-up writes to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.pytest_plugin import RollbackSweep
from actionqueues.testing import database, directory, memory


@dataclass
class Shop:
    """The systems: a database, a directory, and a payment service that knows idempotency keys."""

    db: sqlite3.Connection
    homes: Path
    charges: dict[str, int] = field(default_factory=dict[str, int])


@action
def create_user(shop: Shop, email: str) -> None:
    shop.db.execute("INSERT INTO users (email) VALUES (?)", (email,))
    current_step().save(made=True)


@create_user.rollback
def delete_user(shop: Shop, email: str, step: Step[Any]) -> None:
    if "made" in step.saved:  # otherwise that row is another's
        shop.db.execute("DELETE FROM users WHERE email = ?", (email,))


@action
def make_home(shop: Shop, email: str) -> None:
    home = shop.homes / email
    home.mkdir()
    current_step().save(made=home)
    (home / "welcome.txt").write_text("hello")


@make_home.rollback
def remove_home(step: Step[Any]) -> None:
    home = step.saved.pop("made", None)
    if home is not None:
        (home / "welcome.txt").unlink(missing_ok=True)
        home.rmdir()


@action(retry=Retry(attempts=5, on=ConnectionError))
def charge(shop: Shop, cents: int) -> None:
    shop.charges[current_step().key] = cents


@charge.rollback
def refund(shop: Shop, step: Step[Any]) -> None:
    shop.charges.pop(step.key, None)


def sign_up(shop: Shop, email: str) -> None:
    with transaction("sign-up"):
        create_user(shop, email)
        make_home(shop, email)
        charge(shop, 900)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
        yield Shop(db, tmp_path)


def test_a_failed_sign_up_leaves_nothing_behind(rollback_sweep: RollbackSweep, shop: Shop) -> None:
    rollback_sweep(
        lambda: sign_up(shop, "ada@example.com"),
        state={
            "users": database(shop.db),
            "homes": directory(shop.homes),
            "charges": memory(shop.charges),
        },
    )
