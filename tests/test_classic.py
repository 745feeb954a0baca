"""The explicit queue: order, failures, rollbacks, retries, and what it has to say about them."""

from __future__ import annotations

import json
import logging
import signal

import pytest

from actionqueues import ActionQueue, RollbackConflict
from actionqueues.actionqueue import ActionRetryException
from actionqueues.exceptionfactory import DoublingBackoffExceptionFactory

from .inside import SLEEP
from .scripted import Boom, Outcome, Scripted, Trail, queue_of
from .world import outcomes


@pytest.fixture
def trail() -> Trail:
    return []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(SLEEP, waited.append)
    return waited


# -- order, and exceptions in execute


def test_actions_run_in_the_order_in_which_they_were_added(trail: Trail) -> None:
    queue = queue_of(*(Scripted(name, trail) for name in "cab"))
    assert trail == []
    queue.execute()
    assert trail == ["do c", "do a", "do b"]


def test_rolling_back_after_success_undoes_everything_in_reverse(trail: Trail) -> None:
    queue = queue_of(*(Scripted(name, trail) for name in "abc"))
    queue.execute()
    del trail[:]
    queue.rollback()
    assert trail == ["undo c", "undo b", "undo a"]
    assert queue.report.clean


def test_no_action_counts_as_undone_before_its_rollback_has_been_called(trail: Trail) -> None:
    seen: list[list[str | None]] = []

    class Looking(Scripted):
        def rollback(self) -> None:
            seen.append([step.undo for step in queue.report.steps])

    queue = queue_of(Looking("a", trail), Looking("b", trail))
    queue.execute()
    queue.rollback()
    assert [undos[0] for undos in seen] == [None, None]
    assert [step.undo for step in queue.report.steps] == ["undone", "undone"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), StopIteration(1)])
def test_an_exception_from_execute_stops_the_queue_and_comes_out_unchanged(error: BaseException, trail: Trail) -> None:
    cause, context = OSError("cause"), OSError("context")
    error.__cause__, error.__context__ = cause, context
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, [error]), Scripted("c", trail))
    with pytest.raises(type(error)) as caught:
        queue.execute()
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (cause, context)
    place = f"{queue_of.__code__.co_filename}:{queue_of.__code__.co_firstlineno + 3}"
    noted = [f"actionqueues: Scripted was queued at {place}"] if isinstance(error, Exception) else []
    assert getattr(error, "__notes__", []) == noted  # and nothing else
    assert trail == ["do a", "do b"]


def test_nothing_is_undone_before_the_caller_asks_for_it(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, [Boom()]))
    with pytest.raises(Boom):
        queue.execute()
    assert "undo a" not in trail
    assert queue.report.undone == []


def test_the_action_that_raised_is_rolled_back_too_and_those_after_it_are_not(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, [Boom()]), Scripted("c", trail))
    with pytest.raises(Boom):
        queue.execute()
    del trail[:]
    queue.rollback()
    assert trail == ["undo b", "undo a"]


def test_the_first_action_alone_is_rolled_back_if_it_raised(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail, [KeyboardInterrupt()]), Scripted("b", trail))
    with pytest.raises(KeyboardInterrupt):
        queue.execute()
    queue.rollback()
    assert trail == ["do a", "undo a"]


# -- exceptions in rollback


@pytest.mark.parametrize("error", [ValueError("stuck"), ExceptionGroup("two", [OSError()]), StopIteration()])
def test_an_exception_in_a_rollback_does_not_stop_the_others(error: Exception, trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [error]), Scripted("c", trail))
    queue.execute()
    del trail[:]
    queue.rollback()
    assert trail == ["undo c", "undo b", "undo a"]
    assert [(failure.step.state, failure.error) for failure in queue.report.failures] == [("undo failed", error)]


def test_each_failed_rollback_is_logged_with_its_traceback(trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    errors = [ValueError("first"), OSError("second")]
    queue = queue_of(*(Scripted(name, trail, (), [error]) for name, error in zip("ab", errors, strict=True)))
    queue.execute()
    queue.rollback()
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == errors[::-1]
    assert {(record.name, record.levelno) for record in caplog.records} == {("actionqueues", logging.ERROR)}
    assert all("the undo of Scripted failed" in record.getMessage() for record in caplog.records)
    assert caplog.text.count("Traceback (most recent call last)") == 2
    assert "in _play" in caplog.text


def test_an_error_that_cannot_be_shown_stops_nothing_and_is_logged_all_the_same(
    trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    class Unprintable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("it cannot be shown")

        __str__ = __repr__

    error = Unprintable()
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [error]))
    queue.execute()
    queue.rollback()
    assert trail[2:] == ["undo b", "undo a"]
    assert [failure.error for failure in queue.report.failures] == [error]
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [error]
    assert "undo of Scripted failed" in repr(queue)


def test_a_rollback_that_succeeds_logs_nothing(trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    queue = queue_of(Scripted("a", trail))
    queue.execute()
    queue.rollback()
    assert caplog.records == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(2)])
def test_an_interrupt_in_a_rollback_comes_out_after_all_the_others_have_run(
    interrupt: BaseException, trail: Trail
) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [interrupt]), Scripted("c", trail))
    queue.execute()
    with pytest.raises(type(interrupt)) as caught:
        queue.rollback()
    assert caught.value is interrupt
    assert trail[3:] == ["undo c", "undo b", "undo a"]
    assert queue.state == "rollback complete"
    assert [failure.error for failure in queue.report.failures] == [interrupt]


def test_the_first_of_several_interrupts_comes_out_and_all_are_reported(trail: Trail) -> None:
    first, second = SystemExit(1), KeyboardInterrupt()
    queue = queue_of(Scripted("a", trail, (), [second]), Scripted("b", trail, (), [first]))
    queue.execute()
    with pytest.raises(SystemExit) as caught:
        queue.rollback()
    assert caught.value is first
    assert [failure.error for failure in queue.report.failures] == [first, second]


def test_ctrl_c_during_a_rollback_is_raised_at_its_end(trail: Trail) -> None:
    class Pressed(Scripted):
        def rollback(self) -> None:
            signal.raise_signal(signal.SIGINT)
            super().rollback()

    queue = queue_of(Scripted("a", trail), Pressed("b", trail))
    queue.execute()
    with pytest.raises(KeyboardInterrupt):
        queue.rollback()
    assert trail[2:] == ["undo b", "undo a"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_a_rollback_waits_does_not_lose_its_retry(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SLEEP, interrupted)
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [ActionRetryException(500)]))
    queue.execute()
    with pytest.raises(KeyboardInterrupt):
        queue.rollback()
    assert trail[2:] == ["undo b", "undo b", "undo a"]


def test_a_conflict_in_a_rollback_is_reported_as_one(trail: Trail) -> None:
    conflict = RollbackConflict("changed since")
    queue = queue_of(Scripted("a", trail, (), [conflict]))
    queue.execute()
    queue.rollback()
    assert [failure.error for failure in queue.report.conflicts] == [conflict]
    assert queue.report.failures == []


# -- retries


def test_an_action_that_asks_for_it_is_executed_again_after_that_many_milliseconds(
    trail: Trail, waits: list[float]
) -> None:
    asked = [ActionRetryException(ms_backoff=250), ActionRetryException(), ActionRetryException(5)]
    queue = queue_of(Scripted("a", trail, asked), Scripted("b", trail))
    queue.execute()
    assert trail == ["do a"] * 4 + ["do b"]
    assert waits == [0.25, 0, 0.005]


def test_a_rollback_that_asks_for_it_is_called_again_before_the_others(trail: Trail, waits: list[float]) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [ActionRetryException(20)] * 3))
    queue.execute()
    del trail[:]
    queue.rollback()
    assert trail == ["undo b"] * 4 + ["undo a"]
    assert waits == [0.02] * 3
    assert queue.report.clean


def test_without_a_policy_a_retry_is_granted_as_often_as_it_is_asked_for(trail: Trail, waits: list[float]) -> None:
    queue = queue_of(Scripted("a", trail, [ActionRetryException(1)] * 500))
    queue.execute()
    assert (len(trail), len(waits)) == (501, 500)


def test_another_error_after_retries_stops_the_queue(trail: Trail, waits: list[float]) -> None:
    error = ValueError("given up")
    queue = queue_of(Scripted("a", trail, [ActionRetryException(1), ActionRetryException(1), error]))
    with pytest.raises(ValueError, match="given up") as caught:
        queue.execute()
    assert caught.value is error
    assert len(trail) == 3
    queue.rollback()
    assert trail[3:] == ["undo a"]


@pytest.mark.parametrize("phase", ["execute", "rollback"])
def test_the_doubling_factory_waits_100_to_1600_ms_and_then_raises_the_original(phase: str, waits: list[float]) -> None:
    original = ZeroDivisionError("division by zero")

    class Failing(Scripted):
        calls = 0
        factory = DoublingBackoffExceptionFactory(retries=5, ms_backoff_initial=100)

        def _play(self, what: str, outcome: Outcome) -> None:
            if (what == "do") is (phase == "execute"):
                self.calls += 1
                self.factory.raise_exception(original_exception=original)

    action = Failing("a", [])
    queue = queue_of(action)
    if phase == "execute":
        with pytest.raises(ZeroDivisionError) as caught:
            queue.execute()
        assert caught.value is original
    else:
        queue.execute()
        queue.rollback()
        assert [failure.error for failure in queue.report.failures] == [original]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert action.calls == 6


@pytest.mark.parametrize("ms_backoff", [-1, float("nan"), 1e300, "soon"])
def test_a_wait_that_makes_no_sense_does_not_get_out_of_a_rollback(ms_backoff: float, trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [ActionRetryException(ms_backoff)]))
    queue.execute()
    queue.rollback()
    assert trail[-1] == "undo a"
    assert queue.state == "rollback complete"


# -- what it says about itself


def test_repr_shows_state_counts_and_outcomes(trail: Trail) -> None:
    queue = ActionQueue()
    assert repr(queue) == "<ActionQueue init: 0 actions>"
    queue.add(Scripted("a", trail))
    assert repr(queue) == "<ActionQueue add: 1 action>"
    queue.add(Scripted("b", trail, (), [ValueError("stuck")]))
    assert repr(queue) == "<ActionQueue add: 2 actions>"
    queue.execute()
    assert repr(queue) == "<ActionQueue execute complete: 2 actions>"
    queue.rollback()
    outcomes = "1 undone, undo of Scripted failed (ValueError('stuck'))"
    assert repr(queue) == f"<ActionQueue rollback complete: 2 actions, {outcomes}>"
    assert queue.report.summary == f"action queue rollback complete: {outcomes}"


def test_the_report_is_data_that_json_takes(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, (), [ValueError("stuck")]))
    queue.add(print)
    queue.execute()
    queue.rollback()
    report = queue.report.as_dict()
    assert json.loads(json.dumps(report)) == report
    assert (report["name"], report["state"], report["kind"]) == ("action queue", "rollback complete", "queue")
    assert outcomes(queue.report) == {
        "undone": ["Scripted"],
        "failures": [{"step": "Scripted", "error": "ValueError('stuck')"}],
        "not_undone": ["print"],
    }


def test_the_report_is_the_same_object_all_along(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail))
    report = queue.report
    assert report.state == "add"
    queue.execute()
    queue.rollback()
    assert queue.report is report
    assert (report.state, report.undone) == ("rollback complete", ["Scripted"])
