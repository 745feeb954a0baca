"""What undoing later does to a committed program is what a rollback at its end would have done."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actionqueues import Retry, Step, Transaction, action, current_step, transaction
from actionqueues.journal import Journal, durable

trail: list[str] = []
attempts: dict[str, int] = {}


def again(name: str, times: int) -> None:
    """Fail so many times."""
    attempts[name] = attempts.get(name, 0) + 1
    if attempts[name] <= times:
        raise ConnectionError(name)


@action
def make(name: str, data: Any) -> list[Any]:
    return [name, data]


@make.rollback
def unmake(name: str, data: Any, result: list[Any]) -> None:
    trail.append(f"unmake {name} {data} {result}")


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def flaky(name: str, times: int) -> None:
    current_step().save(tried=attempts.get(name, 0))
    again(name, times)


@flaky.rollback(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def unflaky(step: Step[None], name: str, times: int) -> None:
    trail.append(f"unflaky {name} {dict(step.saved)} {step.state} {step.attempts} {step.has_result}")
    again(f"undo of {name}", times)


@action
def fails(name: str) -> None:
    raise FileExistsError(17, "exists", name)


@fails.rollback
def unfail(name: str, error: BaseException) -> None:
    trail.append(f"unfail {name} {error!r}")


@action
def outer(name: str) -> None:
    make(f"{name} inside", None)


@outer.rollback
def unouter(name: str) -> None:
    trail.append(f"unouter {name}")


@action(read_only=True)
def look() -> None: ...


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name

    def __actionqueues_reference__(self) -> str:
        return self.name

    @classmethod
    def __actionqueues_resolve__(cls, name: str) -> Thing:
        return cls(name)

    @action
    def move(self, *to: int, **more: int) -> int:
        return len(to)

    @move.rollback
    def move_back(self, *to: int, result: int, **more: int) -> None:
        trail.append(f"move_back {self.name} {to} {more} {result}")


@durable
def by_hand(name: str) -> None:
    trail.append(f"by hand {name}")


KINDS: Final = ("make", "flaky", "fails", "outer", "look", "move", "by hand", "queued", "run the queue")

#: A program: steps by kind, each with a number; savepoints, with whether they fail.
programs = st.recursive(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2)),
    lambda inner: st.tuples(st.sampled_from(["succeeds", "is left"]), st.lists(inner, max_size=4)),
    max_leaves=12,
)


class Stop(Exception):
    """What a savepoint, or the block, is left by."""


def play(q: Transaction, program: list[Any], place: str = "") -> None:
    for number, (kind, more) in enumerate(program):
        name = f"{place}{number}"
        if kind == "make":
            make(name, {"n": more})
        elif kind == "flaky":
            flaky(name, more)
        elif kind == "fails":
            with pytest.raises(FileExistsError):
                fails(name)
        elif kind == "outer":
            outer(name)
        elif kind == "look":
            look()
        elif kind == "move":
            Thing(name).move(*range(more), by=more)
        elif kind == "by hand":
            q.on_rollback(by_hand, name)
        elif kind == "queued":
            q.add(make, name, more)
        elif kind == "run the queue":
            q.execute()
        else:
            try:
                with q.savepoint():
                    play(q, more, f"{name}.")
                    if kind != "succeeds":
                        raise Stop
            except Stop:
                pass


def played(journal: Journal, program: list[Any], *, rolls_back: bool) -> int:
    """Run it, forget what has been undone on the way, and return its number; or what a rollback at its end undoes."""
    attempts.clear()
    try:
        with transaction(journal=journal) as q:
            play(q, program)
            q.execute()
            trail.clear()
            if rolls_back:
                raise Stop
    except Stop:
        pass
    return max((entry.id for entry in journal.transactions()), default=0)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)
    made = Journal(tmp_path / "actions.db", durability="process")
    yield made
    made.close()


@pytest.mark.parametrize("awaits", [False, True])
@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_a_program_is_undone_later_as_by_a_rollback_at_its_end(examples: int, awaits: bool, journal: Journal) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(programs, min_size=1, max_size=6))
    def holds(program: list[Any]) -> None:
        played(journal, program, rolls_back=True)
        wanted = [*trail]
        before = len(journal.transactions())
        number = played(journal, program, rolls_back=False)
        if number and len(journal.transactions()) > before:
            one = asyncio.run(journal.undo_async(number)) if awaits else journal.undo(number)
            assert (one.state, one.clean) == ("undone later", True)
        assert trail == wanted
        journal.prune()

    holds()
