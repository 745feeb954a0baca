"""The texts of errors in a journal do not quote what `redact=` names, in whatever column and form."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionqueues import Retry, RollbackConflict, action, transaction
from actionqueues.journal import Journal, durable
from actionqueues.journal.redaction import Redaction

from .leaving import leave, recovered
from .test_redaction import SECRET, contents, named, plain, thing, told


class Declined(Exception):
    """Keeps what it is about in its arguments, in attributes, and in its notes."""

    def __init__(self, card: Any) -> None:
        super().__init__(f"declined: {card}", card)
        self.card, self.tried = card, [card]
        self.add_note(f"tried {card}")


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def charge(card: Any) -> None:
    raise Declined(card)


@charge.rollback(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def refund(card: Any) -> None:
    raise KeyError(card)


@action
def conflicts(card: str) -> None: ...


@conflicts.rollback
def undo_conflicting(card: str) -> None:
    raise RollbackConflict(f"changed: {card}")


@durable
def hook(*card: Any) -> None:
    raise ConnectionError(*card)


@action(retry=Retry(attempts=1, on_result=lambda result: True))
def polls(card: str) -> dict[str, Any]:
    return {"status": 402, "card": card}


def fails_in_its_undo(q: Any) -> None:
    charge(SECRET)


def fails_with_a_conflict(q: Any) -> None:
    conflicts(SECRET)
    raise OSError(3, "not found", SECRET)


def fails_deep(q: Any) -> None:
    thing({"orders": [{"card": SECRET}]})
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        raise ExceptionGroup(f"about {SECRET}", [error]) from error


def fails_in_a_plain_step(q: Any) -> None:
    q.add(plain, SECRET)
    q.execute()


def fails_in_a_hook(q: Any) -> None:
    named(SECRET)
    q.on_commit(hook, SECRET)


def fails_after_polling(q: Any) -> None:
    polls(SECRET)


FAILURES = [
    fails_in_its_undo,
    fails_with_a_conflict,
    fails_deep,
    fails_in_a_plain_step,
    fails_in_a_hook,
    fails_after_polling,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_no_text_of_an_error_quotes_it_in_any_column(failure: Callable[[Any], None], path: Path) -> None:
    with pytest.raises(BaseException) as caught, transaction(journal=Journal(path, redact=("card",))) as q:  # noqa: PT011
        failure(q)
    told_by_it = [caught.value, *getattr(caught.value, "exceptions", ())]
    assert SECRET in "".join(f"{error} {error!r}" for error in told_by_it)
    assert SECRET.encode() not in contents(path)
    assert b"<card>" in contents(path)
    entry = Journal(path).show(1)
    assert SECRET not in json.dumps(entry.as_dict())


class Holder:
    """Is no plain data, and does not show what it has."""

    def __init__(self, number: str) -> None:
        self._number = number

    def __repr__(self) -> str:
        return "a card"


class Slotted:
    __slots__ = "number"  # noqa: PLC0205 - as it may be written

    def __init__(self, number: str) -> None:
        self.number = number


class Unreadable:
    __slots__ = ("__dict__", "unset")

    def __str__(self) -> str:
        raise ValueError


HELD: dict[str, Any] = {
    "an object": Holder(SECRET),
    "slots": Slotted(SECRET),
    "a list": [Holder("1"), SECRET],
    "a dictionary": {"holder": Holder("1"), "deep": {"deeper": (Holder("1"), SECRET)}},
    "objects in a set": {Holder(SECRET), Unreadable()},
}


@action
def quotes(card: Any) -> None:
    raise ValueError(f"no such card: {SECRET}")


@pytest.mark.parametrize("held", HELD)
def test_a_part_of_what_is_no_plain_data_is_not_quoted_either(held: str, path: Path) -> None:
    with pytest.raises(ValueError, match=SECRET), transaction(journal=Journal(path, redact=("card",))):
        quotes(HELD[held])
    assert SECRET.encode() not in contents(path)


def test_what_contains_itself_is_kept_out_too(path: Path) -> None:
    endless: list[Any] = [SECRET, Holder("1")]
    endless.append(endless)
    with pytest.raises(ValueError, match=SECRET), transaction(journal=Journal(path, redact=("card",))):
        quotes(endless)
    assert SECRET.encode() not in contents(path)


def test_an_error_without_it_is_an_error_of_its_class_again(path: Path) -> None:
    leave(path, left_after_a_failure, redact=("card",))
    told.clear()
    assert recovered(path, redact=("card",)).state == "rolled back"
    assert told == [(Declined, ("declined: <card>", "<card>"), "<card>", ["<card>"])]


@action
def keeps(card: str) -> None:
    raise Declined(card)


@keeps.rollback
def tells(error: Declined) -> None:
    told.append((type(error), error.args, error.card, error.tried))
    if os.environ.get("ACTIONQUEUES_DIE"):
        os.kill(os.getpid(), 9)


def left_after_a_failure(_q: Any) -> None:
    os.environ["ACTIONQUEUES_DIE"] = "yes"
    keeps(SECRET)


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("4111", "card 4111 and 41112 and x4111", "card <card> and 41112 and x4111"),
        ("41111111", "is 441111111x", "is 4<card>x"),
        ("12", "12 of 12", "12 of 12"),
        ("987", "cvc '987'", "cvc '<card>'"),
        (987, "cvc 987.", "cvc <card>."),
        (True, "True", "True"),
        (None, "None", "None"),
        (" \n\n ", "two\n\n lines", "two\n\n lines"),
        ("a\\b\\\\c\td", repr("a\\b\\\\c\td"), "'<card>'"),
        ("123", repr("no\n123"), "'no\\n<card>'"),
        ("\0\x85\U0001f600", json.dumps("\0\x85\U0001f600"), '"<card>"'),
        ("", "nothing", "nothing"),
        ('it\'s "so"\n', repr(ValueError('it\'s "so"\n')), "ValueError('<card>')"),
        ("line one\n  line two", "line one line two", "<card>"),
        ("Zoë Ø 1", json.dumps("Zoë Ø 1"), '"<card>"'),
        ("a.b*c(d", "a.b*c(d", "<card>"),
        ("x\n" * 5000, repr("x\n" * 5000), "'<card>"),
        (["one two", {"a": "three"}], "one two, three", "<card>, <card>"),
        ({"$bytes": "c2VjcmV0"}, "b'secret' secret", "b'<card>' <card>"),
        ({"$enum": ["shop:Kind", "VISA_CARD"]}, "shop:Kind VISA_CARD", "shop:Kind <card>"),
    ],
)
def test_what_is_looked_for(value: Any, text: str, masked: str) -> None:
    redaction = Redaction(["card"])
    redaction.learn("card", value)
    assert redaction.text(text) == masked


def test_the_longest_is_replaced_first() -> None:
    redaction = Redaction(["card"])
    redaction.learn("card", ["secret-one", "secret-one-and-more"])
    assert redaction.text("secret-one-and-more") == "<card>"


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 3))
def test_a_long_text_is_found_however_it_is_quoted(secret: str) -> None:
    redaction = Redaction(["card"])
    redaction.learn("card", secret)
    assert redaction.text(secret) == "<card>"
    for quoted in (repr(secret), json.dumps(secret)):
        assert redaction.text(quoted) == f"{quoted[0]}<card>{quoted[-1]}"
    assert "<card>" in redaction.text(repr(ValueError(f"no card {secret!r}")))
