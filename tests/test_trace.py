"""Traces: what reports know of steps, by whom they were watched, and that this is plain data, back and forth."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from actionqueues import ActionQueue, Report, StepReport, action, events, listen, transaction, watch
from actionqueues.core.watch import SEAM
from actionqueues.journal import Journal
from actionqueues.views.svg import to_svg

from . import scenarios, scenarios_of_ends, scenarios_of_marks
from .journal.actions import create, pay, put
from .scripted import Scripted
from .world import AT_ONCE, SCENARIOS, WORLDS, Boom, Scenario, World

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}


def every(steps: list[StepReport]) -> list[StepReport]:
    """All of them, each before what it contains."""
    found: list[StepReport] = []
    stack = steps[::-1]
    while stack:
        found.append(stack.pop())
        stack += found[-1].contains[::-1]
    return found


def flat(report: Report) -> list[Any]:
    """What is told of steps in order of start, without what only a watch sees.

    That is times, keys, counts of undos, and, in sync code, what contains what; and what earlier attempts have made.
    """
    return [
        (step.kind, step.name, str(step.state), step.attempts, step.error, step.undo, step.undo_error)
        for step in sorted(every(report.steps), key=lambda step: step.number or 1 << 62)
    ]


def again(report: Report) -> Report:
    """The same, through JSON."""
    return Report.from_dict(json.loads(json.dumps(report.as_dict())))


# ---------------------------------------------------------------- who watches


def with_trace(_stack: ExitStack, _path: Path) -> dict[str, Any]:
    return {"trace": True}


def with_watch(stack: ExitStack, _path: Path) -> dict[str, Any]:
    stack.enter_context(watch())
    return {}


def with_a_listener(stack: ExitStack, _path: Path) -> dict[str, Any]:
    stack.enter_context(listen(print_nothing))
    return {}


def print_nothing(event: events.Event) -> None:
    """Listen, and no more."""


def with_a_journal(stack: ExitStack, path: Path) -> dict[str, Any]:
    return {"journal": stack.enter_context(Journal(path))}


@pytest.mark.parametrize("watched", [with_trace, with_watch, with_a_listener, with_a_journal])
def test_a_committed_block_that_is_watched_has_its_steps_with_times(
    watched: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        options = watched(stack, tmp_path / "actions.db")
        with transaction("order", **options) as q:
            put("a")
            with transaction("part"):
                put("b")
            q.add(put, "c")
    first, part, third = q.report.steps
    assert [(each.name, each.kind, str(each.state)) for each in (first, part, third)] == [
        ("put", "step", "done"),
        ("part", "savepoint", "released"),
        ("put", "step", "done"),
    ]
    (inner,) = part.contains
    assert (inner.parent, inner.arguments, first.arguments) == (part, "name='b'", "name='a'")
    assert [each.number for each in every(q.report.steps)] == [1, 2, 3, 4]
    assert third.queued is not None
    times: list[Any] = [
        q.report.started,
        first.started,
        first.ended,
        part.started,
        inner.started,
        inner.ended,
        part.ended,
    ]
    times += [third.started, third.ended, q.report.ended]
    assert times == sorted(times)
    assert q.report.id == (1 if "journal" in options else None)
    assert again(q.report).as_dict() == q.report.as_dict()


def test_a_committed_block_that_nobody_watches_has_none() -> None:
    with transaction() as q:
        put("a")
    assert (q.report.steps, q.report.started) == ([], None)


def test_a_savepoint_has_its_own_steps_in_its_report() -> None:
    with transaction(trace=True) as q:
        put("a")
        with transaction("part") as part:
            put("b")
    assert [step.arguments for step in part.report.steps] == ["name='b'"]
    assert part.report.steps[0] is q.report.steps[1].contains[0]


def test_what_is_tried_again_or_undone_twice_is_counted() -> None:
    world = World()
    with pytest.raises(Boom), transaction(trace=True) as q:
        world.define("a", retry=AT_ONCE, fails=[Boom("1")], undo_retry=AT_ONCE, undo_fails=[Boom("2")])()
        raise Boom("full")
    (step,) = q.report.steps
    assert (step.attempts, step.error, step.undo, step.undo_attempts, step.undo_error) == (2, None, "undone", 2, None)


def test_arguments_that_a_journal_keeps_out_of_its_file_are_hidden_in_reports(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "actions.db", redact=("amount",))
    with journal, pytest.raises(Boom), transaction(journal=journal) as q:
        pay("4242", 123454321)
        raise Boom
    (step,) = q.report.steps
    assert step.arguments == "card='4242', amount=…"
    assert "123454321" not in json.dumps(q.report.as_dict())


def test_a_classic_queue_tells_of_what_waits_and_of_what_has_run() -> None:
    for watched in (False, True):
        with ExitStack() as stack:
            if watched:
                stack.enter_context(watch())
            queue = ActionQueue()
            queue.add(Scripted("a", []))
            queue.add(Scripted("b", [], execute=[Boom("b")]))
            queue.add(Scripted("c", []))
            assert [str(step.state) for step in queue.report.steps] == ["queued"] * 3
            with pytest.raises(Boom):
                queue.execute()
            assert queue.report.steps[0].state == "done"
            assert again(queue.report).as_dict() == queue.report.as_dict()
            queue.rollback()
        found = [(str(step.state), step.undo) for step in queue.report.steps]
        assert found == [("done", "undone"), ("failed", "undone"), ("dropped", None)]
        assert queue.report.error == "Boom('b')"
        assert again(queue.report).as_dict() == queue.report.as_dict()


# ---------------------------------------------------------------- whatever happens


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def kind(request: pytest.FixtureRequest) -> type[World]:
    made: type[World] = request.param
    return made


@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_whatever_happens_a_trace_is_in_order_and_is_plain_data(expected: Scenario, kind: type[World]) -> None:
    assert expected.run.__module__ in LISTS
    world = kind()
    with watch():
        world.play(expected.run)
    for block in world.blocks:
        report = block.report
        assert again(report).as_dict() == report.as_dict()
        steps = every(report.steps)
        numbers = [step.number for step in sorted(steps, key=lambda step: step.number) if step.number]
        assert len(set(numbers)) == len(numbers)
        for step in steps:
            assert step.state not in ("running", "queued"), step
            assert step.undo != "running", step
            assert all(inner.parent is step for inner in step.contains)
            begun = [step.queued, step.started, step.ended, step.undo_started, step.undo_ended]
            known = [time for time in begun if time is not None]
            assert known == sorted(known), step
            assert (step.undo_started is None) == (step.undo_ended is None)
            assert step.arguments.isprintable()
            if step.started is not None and step.ended is not None:
                assert all(step.started <= inner.started for inner in step.contains if inner.started is not None)
        if expected.state != "committed" and block is world.blocks[0] and "roll" in str(report.state):
            left = {id(step) for step in report.left}
            assert sum(
                s.undo in ("undo failed", "conflict", "skipped", "not undone", "abandoned") for s in steps
            ) == len(left)


@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_a_rollback_that_nobody_watches_tells_of_the_same_steps(expected: Scenario, kind: type[World]) -> None:
    alone, watched = kind(), kind()
    alone.play(expected.run)
    with watch():
        watched.play(expected.run)
    for one, other in zip(alone.blocks, watched.blocks, strict=True):
        assert again(one.report).as_dict() == one.report.as_dict()
        found = flat(other.report)
        if "rolled back" in str(one.report.state) and all(step[3] < 2 for step in found):
            assert flat(one.report) == found


def test_of_a_commit_that_nobody_watched_all_say_that_the_steps_were_not_kept() -> None:
    with transaction("order") as q:
        q.on_rollback(print)
    for report in (q.report, again(q.report)):
        assert (report.steps, report.steps_known) == ([], False)
        assert str(report) == "order committed\n  its steps were not kept: transaction(trace=True) keeps them"
        assert "not kept; transaction(trace=True) does<" in report.to_svg()
        assert "0 steps" not in report.to_svg()
    with transaction("nothing", trace=True) as q:
        pass
    assert (str(q.report), q.report.steps_known) == ("nothing committed", True)
    assert "0 steps" in q.report.to_svg()


def test_a_method_is_told_of_without_its_object_and_numbers_and_ids_as_they_are() -> None:
    class Account:
        @action
        def pay(self, amount: Decimal, share: Fraction, by: UUID) -> None: ...

    with transaction(trace=True) as q:
        Account().pay(Decimal("9.50"), Fraction(1, 3), UUID(int=7))
    told = "amount=Decimal('9.50'), share=Fraction(1, 3), by=UUID('0000…"
    assert [step.arguments for step in q.report.steps] == [told]


def test_notebooks_show_a_classic_queue_and_a_transaction() -> None:
    queue = ActionQueue()
    queue.add(action(len, read_only=True), "")
    queue.execute()
    with transaction(trace=True) as q:
        len("")
    for shown in (queue, q):
        assert set(shown._repr_mimebundle_()) == {"text/plain", "text/html", "image/svg+xml"}


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_a_trace_is_wanted_or_not(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"transaction\(trace=\.\.\.\) must be True or False, not "):
        transaction(trace=wrong)


# ---------------------------------------------------------------- tasks and threads


def test_what_runs_at_the_same_time_overlaps() -> None:
    both = asyncio.Barrier(2)

    @action
    async def child(name: str) -> None:
        put(name)

    @action
    async def parent(name: str) -> None:
        await both.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(child(name))
        await asyncio.to_thread(put, f"{name} in a thread")
        await both.wait()

    async def main() -> Report:
        async with transaction(trace=True) as q, asyncio.TaskGroup() as group:
            group.create_task(parent("a"))
            group.create_task(parent("b"))
        return q.report

    report = asyncio.run(main())
    first, second = report.steps
    assert first.started is not None
    assert second.ended is not None
    assert first.started < second.ended
    for step, name in zip((first, second), "ab", strict=True):
        assert [inner.name for inner in step.contains] == ["child", "put"]
        assert step.contains[0].contains[0].arguments == f"name='{name}'"
        assert step.contains[1].arguments == f"name='{name} in a thread'"
    assert len({step.number for step in every(report.steps)}) == 8
    assert again(report).as_dict() == report.as_dict()


def test_what_threads_make_belongs_to_the_block() -> None:
    both = threading.Barrier(2, timeout=60)

    @action
    def work(name: str) -> None:
        both.wait()
        put(name)

    with ThreadPoolExecutor(2) as pool, transaction(trace=True) as q:
        for each in [pool.submit(q.run, work, name) for name in "ab"]:
            each.result()
    assert sorted(step.arguments for step in q.report.steps) == ["name='a'", "name='b'"]
    assert all(len(step.contains) == 1 for step in q.report.steps)
    assert len({step.number for step in every(q.report.steps)}) == 4


def test_it_can_be_read_while_it_runs() -> None:
    seen: list[list[tuple[str, str]]] = []

    @action
    def outer() -> None:
        put("a")
        seen.append([(step.name, str(step.state)) for step in every(q.report.steps)])
        assert again(q.report).as_dict() == q.report.as_dict()

    with transaction(trace=True) as q:
        q.add(put, "later")
        outer()
    assert seen == [[("outer", "running"), ("put", "done"), ("put", "queued")]]


# ---------------------------------------------------------------- plain data


@pytest.fixture
def data() -> dict[str, Any]:
    world = World()
    with pytest.raises(Boom), transaction("order", trace=True) as q:
        create("a")
        with transaction("part"):
            world.define("b", undo_fails=[Boom("no")])()
        world.define("c", undo=False)()
        q.add(put, "d")
        raise Boom("full")
    made: dict[str, Any] = json.loads(json.dumps(q.report.as_dict()))
    return made


def test_what_is_read_tells_the_same(data: dict[str, Any]) -> None:
    report = Report.from_dict(data)
    assert report.as_dict() == data
    assert (report.state, report.failed, report.clean) == ("rolled back with failures", True, False)
    assert [step.name for step in report.left] == ["c", "b"]
    assert repr(report.failures[0].error) == "Boom('no')"
    stuck: Any = report.failures[0].step
    assert stuck.parent is report.steps[1]
    outcomes = "1 undone, undo of b failed (Boom('no')), not undone: c, never started: put"
    assert report.summary == f"order rolled back with failures: {outcomes}"


def test_what_a_later_version_has_added_is_passed_over(data: dict[str, Any]) -> None:
    data["colour"] = "green"
    data["steps"][0]["colour"] = "green"
    del data["steps"][0]["key"]
    assert "colour" not in Report.from_dict(data).as_dict()


def broken(change: Callable[[dict[str, Any]], object], told: str) -> Any:
    return pytest.param(change, told, id=told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        broken(lambda d: d.update(format=2), "a report of format 2 cannot be read: this version of actionqueues reads"),
        broken(lambda d: d.pop("format"), "this is no report of actionqueues: it has no format"),
        broken(lambda d: d.update(format="x" * 99), "a report of format 'xxxxxxxxxxxxxxxxxxx cannot be read"),
        broken(lambda d: d.update(name=None), "a report has the name None"),
        broken(lambda d: d.update(state=7), "a report has the state 7"),
        broken(lambda d: d.update(id=True), "a report has the id True"),
        broken(lambda d: d.update(started="noon"), "a report has the started 'noon'"),
        broken(lambda d: d.update(steps=7), "this is no report of actionqueues, or a damaged one: TypeError("),
        broken(lambda d: d.update(steps=[7]), "a report has the step 7, which is no mapping with a name"),
        broken(lambda d: d["steps"][0].pop("name"), "which is no mapping with a name"),
        broken(lambda d: d["steps"][0].update(attempts="many"), "the step create of a report has attempts 'many'"),
        broken(lambda d: d["steps"][0].update(ended=False), "the step create of a report has ended False"),
        broken(lambda d: d["steps"][0].update(kind=None), "the step create of a report has kind None"),
        broken(lambda d: d["steps"][1].update(contains={}), "the step part of a report contains {}, which is no list"),
        broken(lambda d: d["steps"][1].update(contains=[None]), "a report has the step None"),
        broken(lambda d: d.update(undone=7), "this is no report of actionqueues, or a damaged one"),
        broken(lambda d: d.update(failures=[{"step": "a"}]), "or a damaged one: KeyError('error')"),
        broken(lambda d: d.update(failures=[{"step": [], "error": ""}]), "or a damaged one: TypeError("),
        broken(lambda d: d.update(skipped=[[]]), "or a damaged one: TypeError("),
        broken(lambda d: d.update(hooks=[{"name": "a"}]), "or a damaged one: KeyError("),
        broken(lambda d: d.update(hooks="mail"), "or a damaged one: TypeError("),
    ],
)
def test_what_is_no_report_is_refused_in_one_clear_line(change: Any, told: str, data: dict[str, Any]) -> None:
    change(data)
    with pytest.raises(ValueError, match="report") as caught:
        Report.from_dict(data)
    assert told.replace("step create", "step 'create'").replace("step part", "step 'part'") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 7, [], "{}"], ids=repr)
def test_what_is_no_mapping_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="a report is made of the mapping that as_dict"):
        Report.from_dict(data)


def test_a_text_is_to_be_read_as_json_first_and_a_view_draws_plain_data(data: dict[str, Any]) -> None:
    text: Any = "{}"
    with pytest.raises(TypeError, match=r"; of JSON, json\.loads\(\) makes it"):
        Report.from_dict(text)
    report: Any = Report.from_dict(data)
    with pytest.raises(TypeError, match=r"views draw what report\.as_dict\(\) gives, not <Report "):
        to_svg(report)


def test_a_tree_deeper_than_the_stack_is_written_and_read() -> None:
    report = Report("deep", "open")
    top = entry = StepReport("savepoint", "0", "open")
    for number in range(1, 3000):
        inner = StepReport("savepoint", str(number), "open")
        entry.contains.append(inner)
        inner.parent = entry
        entry = inner
    report._traced = [top]
    data = report.as_dict()
    found = every(Report.from_dict(data).steps)
    assert [each.name for each in found] == [str(number) for number in range(3000)]
    assert all(inner.parent is outer for outer, inner in pairwise(found))


@pytest.fixture(autouse=True)
def nobody_else() -> Iterator[None]:
    yield
    assert SEAM.listeners == ()
