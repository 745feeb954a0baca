"""What a report keeps of arguments and errors: enough to be shown, and nothing that is touched, held, or secret."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from weakref import ref

import pytest

from actionqueues import Report, action, transaction
from actionqueues.journal import Journal

from .world import Boom


class _Fatal(BaseException):
    """What no `except Exception` hides."""


class Lazy:
    """As a query that is run once anything is asked of it, or a proxy that answers for another object."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise _Fatal(name)

    def _touched(self, *_args: object) -> NoReturn:
        raise _Fatal

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __hash__ = __eq__ = _touched


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__name__":
            raise _Fatal(name)
        return super().__getattribute__(name)


class Nameless(metaclass=_Meta):
    """A class that does not want to be asked."""


class _Unhashed(type):
    def __hash__(cls) -> int:
        raise Boom("hash")


class Unsorted(metaclass=_Unhashed):
    """A class that cannot be looked up."""


class Rows(list[int]):
    """A list that fetches what is in it."""

    def _touched(self, *_args: object) -> NoReturn:
        raise _Fatal

    __repr__ = __len__ = __iter__ = __getitem__ = _touched


class Colour(Enum):
    """A plain enumeration."""

    RED = 1


@action
def keep(what: object) -> None:
    """Nothing is done with it."""


@keep.rollback
def drop(what: object) -> None:
    """Nothing is undone either."""


@action
def fail(what: object) -> None:
    raise Boom(what)


@fail.rollback
def unfail(what: object) -> None:
    """Nothing is undone either."""


VALUES = [
    (Lazy(), "<Lazy>"),
    (Nameless(), "<Nameless>"),
    (Rows([1]), "<Rows>"),
    ([Lazy()], "[<Lazy>]"),
    ({"query": Lazy()}, "{'query': <Lazy>}"),
    (Colour.RED, "Colour.RED"),
    (ValueError("told", Lazy()), "ValueError('told', <Lazy>)"),
    (10**6000, "<int>"),
    (Unsorted(), "<Unsorted>"),
]


@pytest.mark.parametrize(("value", "shown"), VALUES, ids=[shown for _, shown in VALUES])
@pytest.mark.parametrize("trace", [False, True])
def test_nothing_is_asked_of_an_argument_nor_of_what_an_error_holds(*, trace: bool, value: object, shown: str) -> None:
    with pytest.raises(Boom), transaction(trace=trace) as q:
        keep(value)
        with suppress(Boom):
            fail(value)
        with suppress(Boom), transaction():
            raise Boom(value)
        raise Boom(value)
    kept, failed, savepoint = q.report.steps
    assert (kept.arguments, failed.arguments) == (f"what={shown}", f"what={shown}")
    assert failed.error == savepoint.error == q.report.error == f"Boom({shown})"
    assert Report.from_dict(json.loads(json.dumps(q.report.as_dict()))).as_dict() == q.report.as_dict()


@pytest.mark.parametrize("others", [0, 5])
def test_a_long_text_is_not_held_however_many_steps_there_are(others: int) -> None:
    with pytest.raises(Boom), transaction() as q:
        for _ in range(others):
            keep("short")
        keep("long " * 100)
        raise Boom
    *short, long = [step.arguments for step in q.report.steps]
    assert short == ["what='short'"] * others
    assert len(long) < 80


def test_of_what_an_undo_has_raised_nothing_is_asked_by_the_report_either() -> None:
    class Asked(Boom):
        """One that tells nothing of its own."""

    @action
    def make() -> None:
        """Nothing is done."""

    @make.rollback
    def unmake() -> NoReturn:
        raise Asked(Counted())

    with pytest.raises(Boom), transaction() as q:
        make()
        raise Boom
    asked = Counted.asked
    assert "Asked(<Counted>)" in q.report.summary
    assert [each["error"] for each in q.report.as_dict()["failures"]] == ["Asked(<Counted>)"]
    assert Counted.asked == asked  # the note and the log have its own text


class Counted:
    """What counts how often it is shown."""

    asked = 0

    def __repr__(self) -> str:
        type(self).asked += 1
        return "counted"


@pytest.mark.parametrize("many", [1, 20])
def test_of_a_step_that_was_undone_a_report_holds_nothing_large(many: int) -> None:
    class Large:
        """A result, or an argument."""

    made: list[ref[Large]] = []

    @action
    def make(text: str, *more: object) -> Large:
        large = Large()
        made.append(ref(large))
        return large

    @make.rollback
    def unmake() -> None:
        """It is let go."""

    with pytest.raises(Boom) as raised, transaction() as q:
        for _ in range(many):
            make("x" * 1000, "short")
        raise Boom
    raised.value.__traceback__ = None
    assert [each() for each in made] == [None] * many
    assert {step.arguments for step in q.report.steps} == {f"text='{'x' * 40}'…, more=('short',)"[:59] + "…"}


def test_a_live_report_looks_at_the_steps_only_if_somebody_asks() -> None:
    calls: list[str] = []

    def look(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    with transaction() as q:
        keep(1)
        before = sys.getprofile()
        sys.setprofile(look)
        try:
            assert q.report.clean
            assert not q.report.failed
        finally:
            sys.setprofile(before)
        assert len(q.report.steps) == 1
        report = q.report
        keep(2)
        assert len(report.steps) == 2
    assert "report" in calls
    assert not {"keep", "told"} & set(calls)


def test_a_step_that_is_running_is_told_as_such() -> None:
    states: list[list[str]] = []

    @action
    def look() -> None:
        states.append([str(step.state) for step in q.report.steps])

    with transaction() as q:
        keep(1)
        look()
        states.append([str(step.state) for step in q.report.steps])
    assert states == [["done", "running"], ["done", "done"]]


def test_a_savepoint_that_was_not_left_is_rolled_back_with_what_it_stands_in() -> None:
    with pytest.raises(Boom), transaction() as q:
        inner = transaction("inner")
        inner.__enter__()
        keep(1)
        raise Boom
    assert [(step.name, str(step.state)) for step in q.report.steps] == [("inner", "rolled back")]


SECRET = "hunter2-is-no-good-password"


def test_no_secret_is_in_what_a_report_tells(tmp_path: Path) -> None:
    told: list[str] = []

    @action(name="login to something")
    def login(user: str, password: str, options: object = None, **_more: object) -> None:
        if user == "bad":
            raise Boom(f"wrong password {password}")

    @login.rollback
    def logout(user: str, password: str) -> None:
        if user == "stuck":
            raise Boom(f"still there with {password}")

    journal = Journal(str(tmp_path / "a.db"), redact=("password", "token"))
    with pytest.raises(Boom), transaction(journal=journal) as q:
        login("ann", SECRET, {"password": SECRET, "more": {"token": SECRET}}, token=SECRET)
        with suppress(Boom):
            login("bad", SECRET)
        with suppress(KeyError), transaction("inner") as inner:
            login("bob", SECRET)
            raise KeyError(SECRET)
        login("stuck", SECRET)
        raise Boom(SECRET)
    for report in (q.report, inner.report):
        told += [json.dumps(report.as_dict()), str(report), report.summary, report.to_html(), report.to_mermaid()]
    assert not [text for text in told if "hunter2" in text]


@pytest.mark.parametrize("trace", [False, True])
def test_of_a_rollback_that_was_cut_short_each_step_tells_what_became_of_it(*, trace: bool) -> None:
    @action
    def make() -> None:
        """Nothing is done."""

    @make.rollback
    def unmake() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), transaction(trace=trace) as q:
        for _ in range(4):
            make()
        raise Boom
    told = [(str(step.undo), step.reason if step.undo == "abandoned" else None) for step in q.report.steps]
    assert told == [
        ("abandoned", "a third Ctrl-C has cut the rollback short"),
        ("undo failed", None),
        ("undone", None),
        ("undone", None),
    ]


class _Sig(BaseException):
    """What a signal handler of the program's raises."""


@pytest.mark.parametrize("where", ["keep", "_entries", "frozen_record", "cause_of"])
def test_what_interrupts_the_keeping_costs_no_step_in_the_report(where: str) -> None:
    def interrupt(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and frame.f_code.co_name == where:
            sys.setprofile(before)
            raise _Sig

    before = sys.getprofile()
    try:
        with pytest.raises(_Sig), transaction() as q:
            keep("x" * 100)
            with transaction():
                keep(1)
            sys.setprofile(interrupt)
            raise Boom
    finally:
        sys.setprofile(before)
    assert [step.undo for step in q.report.steps] == ["undone", None]
    assert q.report.undone == ["keep", "keep"]
