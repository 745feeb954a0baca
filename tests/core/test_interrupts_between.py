"""What gets out of an unwinding itself, between two undos: it goes on where it was, and nothing is tried twice."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType

import pytest

from actionqueues import Action, ActionQueue, StepState, TransactionDoomed, action, transaction

from .test_interrupts import World, contexts, press

Act = Callable[[], None]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def raising() -> Iterator[Callable[[type[BaseException]], None]]:
    """Installs a signal handler of the program's own, which raises: nothing can be kept then."""

    def install(kind: type[BaseException]) -> None:
        def handler(_signum: int, _frame: FrameType | None) -> None:
            raise kind

        signal.signal(signal.SIGINT, handler)

    yield install
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Pressing(logging.Handler):
    """Presses Ctrl-C while a failed undo is logged, which no rollback handler has anything to do with."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def emit(self, record: logging.LogRecord) -> None:
        if self.left:
            self.left -= 1
            press()


@pytest.fixture
def pressing() -> Iterator[Callable[[int], None]]:
    """Presses Ctrl-C during so many of the messages that are logged."""
    logger = logging.getLogger("actionqueues")
    installed: list[logging.Handler] = []

    def install(times: int) -> None:
        installed.append(Pressing(times))
        logger.addHandler(installed[0])

    yield install
    for handler in installed:
        logger.removeHandler(handler)


def stuck() -> None:
    raise OSError("stuck")


Raising = Callable[[type[BaseException]], None]
Messages = Callable[[int], None]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_handler_raises_between_two_undos_comes_out_once_all_are_done(
    world: World, raising: Raising, pressing: Messages, kind: type[BaseException]
) -> None:
    raising(kind)
    pressing(1)
    original = LookupError("original")
    with pytest.raises(kind) as caught, transaction() as q:
        world.put("a")
        world.put("b", stuck)
        world.put("c")
        raise original
    assert world.undone == ["c", "a"]
    assert [failure.step.args[1] for failure in q.report.failures] == ["b"]
    assert q.state == "rolled back with failures"
    assert original in contexts(caught.value)


def test_an_error_that_a_signal_handler_raises_between_two_undos_stops_none_of_them(
    world: World, raising: Raising, pressing: Messages
) -> None:
    class Alarm(BaseException):
        """What logging lets through, unlike an `Exception`."""

    raising(Alarm)
    pressing(1)
    original = LookupError("original")
    with pytest.raises(Alarm) as caught, transaction() as q:
        world.put("a")
        world.put("b", stuck)
        raise original
    assert world.undone == ["a"]
    assert q.state == "rolled back with failures"
    assert original in contexts(caught.value)


def test_the_second_ctrl_c_through_a_handler_of_the_programs_own_gets_out_at_once(
    world: World, raising: Raising, pressing: Messages
) -> None:
    raising(KeyboardInterrupt)
    pressing(2)
    with pytest.raises(KeyboardInterrupt), transaction() as q:
        world.put("a")
        world.put("b", stuck)
        world.put("c", stuck)
        raise LookupError
    assert world.undone == []
    assert [step.args[1] for step in q.report.abandoned] == ["a"]
    assert {failure.step.args[1] for failure in q.report.failures} == {"b", "c"}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_an_undo_whose_policy_is_interrupted_counts_as_failed_and_is_not_tried_again(
    world: World, raising: Raising, kind: type[BaseException]
) -> None:
    raising(kind)
    tries: list[str] = []

    def policy(_attempt: int, _error: BaseException) -> float:
        press()
        return 0.0

    @action
    def do() -> None: ...

    @do.rollback(retry=policy)
    def undo() -> None:
        tries.append("undo")
        raise OSError("stuck")

    expected = kind if not issubclass(kind, Exception) else LookupError
    with pytest.raises(expected), transaction() as q:
        world.put("a")
        do()
        raise LookupError
    assert (tries, world.undone) == (["undo"], ["a"])
    assert [failure.step.name for failure in q.report.failures] == ["do"]
    assert q.report.failures[0].step.state is StepState.UNDO_FAILED


class Odd(type):
    """The class of classes that cannot be looked up."""

    def __hash__(cls) -> int:
        raise ZeroDivisionError("no hash")


class Shop:
    """A class whose undo a subclass may override."""

    @action
    def sell(self, trail: list[str]) -> None:
        trail.append("sell")

    @sell.rollback
    def take_back(self, trail: list[str]) -> None:
        trail.append("take back")

    @action
    def lend(self) -> None:
        raise LookupError("lend")

    @lend.rollback
    def get_back(self) -> None:
        raise AssertionError("it can be found")


class OddShop(Shop, metaclass=Odd):
    """Has undos that cannot be found."""

    def take_back(self, trail: list[str]) -> None:
        trail.append("take back in my own way")


def test_a_step_whose_handler_cannot_be_found_is_reported_and_the_others_are_undone(world: World) -> None:
    trail: list[str] = []
    with suppress(LookupError, ZeroDivisionError), transaction() as q:
        world.put("a")
        OddShop().sell(trail)
        raise LookupError
    assert (trail, world.undone) == (["sell"], ["a"])
    assert [failure.step.name for failure in q.report.failures] == ["Shop.sell"]
    assert q.state == "rolled back with failures"


def test_a_handler_that_cannot_be_found_does_not_hide_the_original() -> None:
    with pytest.raises(LookupError) as caught, transaction():
        OddShop().sell([])
        raise LookupError
    assert caught.value.__notes__ == ["actionqueues: the undo of Shop.sell failed: ZeroDivisionError('no hash')"]


def test_a_step_that_could_not_be_undone_at_once_dooms_whatever_went_wrong() -> None:
    with pytest.raises(TransactionDoomed), transaction(), suppress(LookupError, ZeroDivisionError):
        OddShop().lend()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_classic_queue_goes_on_where_a_signal_handler_has_interrupted_it(
    raising: Raising, pressing: Messages, kind: type[BaseException]
) -> None:
    raising(kind)
    pressing(1)
    undone: list[str] = []

    class Named(Action):
        def __init__(self, name: str, act: Act = lambda: None) -> None:
            self.name, self.act = name, act

        def rollback(self) -> None:
            undone.append(self.name)
            self.act()

    queue = ActionQueue()
    queue.add(Named("a"))
    queue.add(Named("b", stuck))
    queue.add(Named("c"))
    queue.execute()
    with pytest.raises(kind):
        queue.rollback()
    assert undone == ["c", "b", "a"]
    assert queue.state == "rollback complete"
    assert len(queue.report.failures) == 1
