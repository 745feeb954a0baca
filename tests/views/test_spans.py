"""Transactions as spans of OpenTelemetry, with its real SDK."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import trio
from opentelemetry import context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from actionqueues import ActionQueue, TransactionDoomed, action, current_step, events, listen, transaction
from actionqueues.core.watch import SEAM
from actionqueues.journal import Journal
from actionqueues.views.opentelemetry import instrument
from tests import scenarios, scenarios_of_ends, scenarios_of_marks
from tests.journal.actions import put
from tests.journal.leaving import edit, leave
from tests.scripted import Scripted
from tests.world import AT_ONCE, SCENARIOS, WORLDS, Boom, Scenario, World

from .otel import Telemetry

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}


@pytest.fixture
def t() -> Iterator[Telemetry]:
    made = Telemetry()
    with instrument(made.tracers, made.meters):
        yield made
    assert SEAM.listeners == ()
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.fixture
def request_to(t: Telemetry) -> Callable[[str], None]:
    """What an instrumented client does."""

    def request(what: str) -> None:
        with t.tracer.start_as_current_span(what):
            pass

    return request


Request = Callable[[str], None]


def attributes(span: Any) -> dict[str, Any]:
    return {name.removeprefix("actionqueues."): value for name, value in span.attributes.items()}


def happened(span: Any) -> list[str]:
    return [event.name for event in span.events]


# ---------------------------------------------------------------- the tree


def test_what_a_body_and_a_handler_do_is_in_their_spans(t: Telemetry, request_to: Request) -> None:
    @action
    def charge(card: str) -> None:
        request_to("POST /charges")

    @charge.rollback
    def refund() -> None:
        request_to("POST /refunds")

    with pytest.raises(Boom), t.tracer.start_as_current_span("GET /order"), transaction("order"):
        request_to("before")
        charge("no-4242-card")
        request_to("after")
        raise Boom("full")
    assert t.tree() == [
        "GET /order",
        "  transaction order",
        "    before",
        "    step charge",
        "      POST /charges",
        "    after",
        "    undo charge",
        "      POST /refunds",
    ]
    assert t.links(t.span("undo charge")) == ["step charge"]
    assert attributes(t.span("step charge")) == {
        "transaction.name": "order",
        "step.name": "charge",
        "state": "done",
        "attempts": 1,
    }
    assert attributes(t.span("undo charge"))["state"] == "undone"
    top = t.span("transaction order")
    assert attributes(top) == {
        "transaction.name": "order",
        "kind": "transaction",
        "state": "rolled back",
        "undone": 1,
        "left": 0,
    }
    assert happened(top) == ["rolling back", "exception"]
    assert (top.status.status_code, top.status.description) == (StatusCode.ERROR, "Boom('full')")
    assert "no-4242-card" not in "".join(span.to_json() for span in t.spans)


def test_a_commit_is_neither_an_error_nor_has_it_events(t: Telemetry) -> None:
    with transaction("order"):
        action(Boom.__str__)
    span = t.span("transaction order")
    assert (span.status.status_code, happened(span)) == (StatusCode.UNSET, [])


def test_a_rollback_by_hand_is_no_error(t: Telemetry) -> None:
    with transaction("order") as q:
        q.rollback()
    span = t.span("transaction order")
    assert (span.status.status_code, happened(span)) == (StatusCode.UNSET, ["rolling back"])


def test_steps_in_steps_and_in_savepoints(t: Telemetry) -> None:
    @action
    def inner() -> None: ...

    @action
    def outer() -> None:
        inner()

    with transaction("order"):
        outer()
        with transaction("part"):
            outer()
    assert t.tree() == ["transaction order"] + ["  step outer", "    step inner"] * 2


def test_what_is_independent_is_a_transaction_in_what_is_around_it(t: Telemetry) -> None:
    with transaction("order"), transaction("audit", independent=True):
        pass
    assert t.tree() == ["transaction order", "  transaction audit"]


def test_tasks_have_each_their_own(t: Telemetry, request_to: Request) -> None:
    @action
    async def fetch(name: str) -> None:
        await asyncio.sleep(0)
        request_to(f"GET {name}")
        await asyncio.to_thread(store)

    @action
    def store() -> None: ...

    @fetch.rollback
    async def drop(name: str) -> None:
        await asyncio.sleep(0)
        request_to(f"DELETE {name}")

    @store.rollback
    def unstore() -> None: ...

    async def main() -> None:
        async with transaction("mirror"):
            async with asyncio.TaskGroup() as group:
                for name in "ab":
                    group.create_task(fetch(name))
            raise Boom

    with pytest.raises(Boom):
        asyncio.run(main())
    tree = t.tree()
    assert tree[0] == "transaction mirror"
    for name in "ab":
        place = tree.index(f"    GET {name}")
        assert tree[place - 1] == "  step fetch"
        assert tree[place + 1] == "    step store"
        assert tree[tree.index(f"    DELETE {name}") - 1] == "  undo fetch"
    assert tree.count("  undo store") == 2


def test_in_trio_too(t: Telemetry, request_to: Request) -> None:
    @action
    async def fetch(name: str) -> None:
        await trio.sleep(0)
        request_to(f"GET {name}")

    @fetch.rollback
    async def drop(name: str) -> None:
        await trio.sleep(0)
        request_to(f"DELETE {name}")

    async def main() -> None:
        async with transaction("mirror"):
            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(fetch, name)
            raise Boom

    with pytest.raises(Boom):
        trio.run(main)
    tree = t.tree()
    assert tree[0] == "transaction mirror"
    for name in "ab":
        assert tree[tree.index(f"    GET {name}") - 1] == "  step fetch"
        assert tree[tree.index(f"    DELETE {name}") - 1] == "  undo fetch"


def test_a_thread_that_was_given_no_context_is_in_the_transaction_nevertheless(
    t: Telemetry, request_to: Request
) -> None:
    @action
    def inner() -> None: ...

    @action
    def work() -> None:
        inner()
        request_to("GET")

    with ThreadPoolExecutor(1) as pool, t.tracer.start_as_current_span("GET /order"), transaction("order") as q:
        pool.submit(q.run, work).result()
        pool.submit(q.run, work).result()
        left = pool.submit(trace.get_current_span).result()
    assert t.tree() == ["GET /order", "  transaction order"] + ["    step work", "      step inner", "      GET"] * 2
    assert left is trace.INVALID_SPAN


def test_a_thread_that_was_given_the_context_goes_on_in_it(t: Telemetry) -> None:
    @action
    def work() -> None: ...

    def run(q: Any, around: context.Context) -> None:
        token = context.attach(around)
        with t.tracer.start_as_current_span("thread"):
            q.run(work)
        context.detach(token)

    with ThreadPoolExecutor(1) as pool, transaction("order") as q:
        pool.submit(run, q, context.get_current()).result()
    assert t.tree() == ["transaction order", "  thread", "    step work"]


def test_what_a_task_makes_that_has_outlived_its_step_is_not_in_that(t: Telemetry) -> None:
    tasks: list[asyncio.Task[None]] = []
    go: list[asyncio.Event] = []

    async def later() -> None:
        await go[0].wait()
        async with transaction("later", independent=True):
            pass

    @action
    async def begin() -> None:
        tasks.append(asyncio.create_task(later()))

    async def main() -> None:
        go.append(asyncio.Event())
        async with transaction("order"):
            await begin()
        go[0].set()
        await tasks[0]

    asyncio.run(main())
    assert t.tree() == ["transaction order", "  step begin", "transaction later"]


# ---------------------------------------------------------------- what goes wrong


def test_attempts_are_events_with_what_they_have_raised(t: Telemetry) -> None:
    failures = [Boom("1"), Boom("2")]

    @action(retry=AT_ONCE)
    def flaky() -> None:
        if failures:
            raise failures.pop(0)

    with transaction():
        flaky()
    span = t.span("step flaky")
    told = [(event.name, dict(event.attributes or {})) for event in span.events]
    assert [name for name, _ in told] == ["exception", "retry", "exception", "retry"]
    assert [known.get("exception.message") for _, known in told] == ["1", None, "2", None]
    assert [known["actionqueues.attempt"] for _, known in told] == [1, 2, 2, 3]
    assert attributes(span)["attempts"] == 3
    assert span.status.status_code is StatusCode.UNSET


def test_a_step_that_fails_has_its_exception_and_its_key(t: Telemetry) -> None:
    keys: list[str] = []

    @action
    def charge() -> None:
        keys.append(current_step().key)
        raise Boom("declined")

    @charge.rollback
    def refund() -> None: ...

    with pytest.raises(Boom), transaction():
        charge()
    span = t.span("step charge")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Boom('declined')")
    (event,) = span.events
    assert str((event.attributes or {})["exception.type"]).endswith("Boom")
    assert attributes(span)["key"] == keys[0]
    assert t.links(t.span("undo charge")) == ["step charge"]


def test_an_undo_that_fails_makes_the_transaction_stuck(t: Telemetry) -> None:
    world = World()
    with pytest.raises(Boom, match="body"), transaction("order"):
        world.define("a", undo_fails=[Boom("no")] * 3, undo_retry=AT_ONCE)()
        raise Boom("body")
    span = t.span("undo a")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Boom('no')")
    assert happened(span) == ["retry", "retry", "exception"]
    assert (attributes(span)["state"], attributes(span)["attempts"]) == ("undo failed", 3)
    top = t.span("transaction order")
    assert attributes(top)["left"] == 1
    assert "undo of a failed" in (top.status.description or "")


def test_what_nothing_undoes_is_an_event_of_the_transaction(t: Telemetry) -> None:
    world = World()
    with pytest.raises(Boom), transaction("order"):
        world.define("mail", undo=False, irreversible=True)()
        raise Boom
    event = t.span("transaction order").events[-1]
    assert (event.name, dict(event.attributes or {})) == (
        "left",
        {"actionqueues.step.name": "mail", "actionqueues.reason": "irreversible"},
    )


def test_hooks_are_events(t: Telemetry) -> None:
    def hook() -> None:
        raise Boom

    with pytest.raises(ExceptionGroup), transaction("order") as q:
        q.on_commit(hook)
    assert happened(t.span("transaction order")) == ["commit hook", "exception"]


def test_what_is_done_by_hand_has_a_span_for_its_undo(t: Telemetry) -> None:
    with pytest.raises(Boom), transaction("order") as q:
        q.on_rollback(len, "")
        raise Boom
    assert t.tree() == ["transaction order", "  undo len"]


class Hostile(Exception):
    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


def test_an_exception_that_cannot_be_shown_does_no_harm(t: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with pytest.raises(Hostile), transaction("or\nder \ud800"):
        world.define("a", fails=[Hostile()])()
    assert caplog.records == []
    assert t.tree() == ["transaction or\\nder \\ud800", "  step a", "  undo a"]
    assert t.span("step a").status.description == "<Hostile, whose repr() fails>"
    assert "exception" in happened(t.span("step a"))


# ---------------------------------------------------------------- other things than blocks


def test_a_queue_that_nobody_rolls_back_is_told_of_all_the_same(t: Telemetry) -> None:
    queue = ActionQueue()
    queue.add(Scripted("a", [], execute=[Boom()]))
    with pytest.raises(Boom):
        queue.execute()
    assert t.tree() == ["transaction action queue", "  step Scripted"]
    assert t.span("transaction action queue").status.status_code is StatusCode.ERROR
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("fails", [False, True])
def test_the_rollback_of_a_queue_is_a_span_with_a_link_to_its_execution(fails: bool, t: Telemetry) -> None:
    queue = ActionQueue()
    queue.add(Scripted("a", [], execute=[Boom()] if fails else []))
    with t.tracer.start_as_current_span("work"):
        if fails:
            with pytest.raises(Boom):
                queue.execute()
        else:
            queue.execute()
    with t.tracer.start_as_current_span("clean up"):
        queue.rollback()
    name = "transaction action queue"
    assert t.tree() == ["work", f"  {name}", "    step Scripted", "clean up", f"  {name}", "    undo Scripted"]
    executed, rolled_back = (span for span in t.spans if span.name == name)
    assert [link.context for link in rolled_back.links] == [executed.context]
    assert t.links(t.span("undo Scripted")) == ["step Scripted"]
    assert attributes(rolled_back)["state"] == "rollback complete"


DIES = """
import os, signal, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from actionqueues import transaction
from actionqueues.views.opentelemetry import instrument
from tests.journal.actions import put

provider = TracerProvider()
instrument(provider)
with provider.get_tracer("program").start_as_current_span("work"), transaction("order", journal=sys.argv[1]):
    span = trace.get_current_span().get_span_context()
    print(f"{span.trace_id:032x} {span.span_id:016x}", flush=True)
    put("a")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_recovery_has_a_link_to_the_span_of_the_dead_process(t: Telemetry, tmp_path: Path) -> None:
    path = str(tmp_path / "actions.db")
    root = str(Path(__file__).parent.parent.parent)
    died = subprocess.run([sys.executable, "-c", DIES, path], stdout=subprocess.PIPE, text=True, cwd=root)
    trace_id, span_id = died.stdout.split()
    with Journal(path) as journal:
        origin = journal.show(1).origin
        assert re.fullmatch(f"00-{trace_id}-{span_id}-0[13]", origin or "")
        with t.tracer.start_as_current_span("start up"):
            (recovered,) = journal.recover()
        assert recovered.report.origin == origin
        assert journal.show(1).report.origin == origin
        assert [entry.origin for entry in journal.transactions()] == [origin]
    assert t.tree() == ["start up", "  recovery order", "    undo put"]
    span = t.span("recovery order")
    (link,) = span.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == (trace_id, span_id)
    assert span.context
    assert span.context.trace_id != link.context.trace_id
    assert (attributes(span)["transaction.id"], attributes(span)["kind"]) == (1, "recovery")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("origin", [None, "", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_recovery_of_what_has_no_origin_has_no_link(origin: str | None, t: Telemetry, tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    leave(path, lambda _q: put("a"))
    edit(path, "UPDATE transactions SET origin = ?", origin)
    with Journal(path) as journal:
        journal.recover()
    assert t.span("recovery left").links == ()


def test_what_another_listener_has_called_it_is_kept(t: Telemetry, tmp_path: Path) -> None:
    def name(event: events.Event) -> None:
        event.report.origin = "mine"

    with listen(name), Journal(tmp_path / "actions.db") as journal:  # this one comes second, and has the last word
        with transaction(journal=journal):
            put("a")
        assert journal.show(1).origin == "mine"
    made = Telemetry()
    with listen(name), instrument(made.tracers), transaction() as q:
        pass
    assert q.report.origin == "mine"


@pytest.mark.parametrize(("given", "kept"), [(object(), None), (b"x", None), ("\ud800", "\\ud800")])
def test_what_a_listener_has_called_it_by_mistake_stops_no_step(given: Any, kept: str | None, tmp_path: Path) -> None:
    def name(event: events.Event) -> None:
        event.report.origin = given

    with listen(name), Journal(tmp_path / "actions.db") as journal:
        with transaction(journal=journal):
            put("a")
        entry = journal.show(1)
        assert (entry.state, entry.origin, entry.reason) == ("committed", kept, None)


def test_a_step_whose_coroutine_is_closed_ends_with_its_transaction(t: Telemetry) -> None:
    @action
    async def fetch() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        async with transaction("order"):
            step: Any = fetch()
            step.send(None)
            step.close()

    with pytest.raises(TransactionDoomed):
        asyncio.run(main())
    assert t.tree() == ["transaction order", "  step fetch"]
    assert len(t.spans) == t.counting.begun


# ---------------------------------------------------------------- contexts, and the end


def test_a_block_that_is_left_in_another_context_does_no_harm(t: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    entered = copy_context()
    block = transaction("order")
    entered.run(block.__enter__)
    block.__exit__(None, None, None)

    def again() -> None:
        with transaction("next"):
            pass

    entered.run(again)
    assert t.tree() == ["transaction order", "transaction next"]
    assert caplog.records == []


def test_what_a_body_leaves_current_is_so_no_longer(t: Telemetry) -> None:
    @action
    def careless() -> None:
        context.attach(trace.set_span_in_context(t.tracer.start_span("left open")))

    with transaction("order"):
        careless()
        assert trace.get_current_span().get_span_context() != t.span("step careless").context
        with t.tracer.start_as_current_span("next"):
            pass
    assert "  next" in t.tree()


def test_stopped_it_goes_on_until_what_is_under_way_has_ended() -> None:
    made = Telemetry()
    listening = instrument(made.tracers, made.meters)
    with transaction("order"):
        World().define("a")()
        listening.stop()
        World().define("b")()
        with transaction("another", independent=True):
            pass
    assert made.tree() == ["transaction order", "  step a", "  step b"]
    assert SEAM.listeners == ()
    assert repr(listening) == "<Listening: listen instrument, stopped>"


def test_stopped_it_tells_of_no_queue_that_is_rolled_back() -> None:
    made = Telemetry()
    with instrument(made.tracers, made.meters):
        queue = ActionQueue()
        queue.add(Scripted("a", []))
        queue.execute()
    with listen(print_nothing):
        queue.rollback()
    assert made.tree() == ["transaction action queue", "  step Scripted"]


def print_nothing(event: events.Event) -> None:
    """Listen, so that what is traced goes on to be told of."""


def test_begun_in_the_middle_it_tells_of_nothing_that_is_under_way() -> None:
    made = Telemetry()
    world = World()
    with listen(print_nothing), pytest.raises(Boom), transaction() as q:
        with instrument(made.tracers, made.meters):
            world.define("a", retry=AT_ONCE, fails=[Boom()])()
            q.on_rollback(len, "")
            with world.caught():
                world.define("b", undo=False, fails=[Boom()])()
            with pytest.raises(Boom), transaction("part"):
                world.define("c", undo_fails=[Boom()])()
                raise Boom
        raise Boom
    assert made.spans == ()
    made = Telemetry()
    with pytest.raises(Boom), listen(print_nothing), transaction() as q:
        world.define("d", undo_fails=[Boom()])()
        listening = instrument(made.tracers, made.meters)
        raise Boom
    listening.stop()
    with listen(print_nothing):
        with transaction() as q:
            q.on_commit(len, "")
            listening = instrument(made.tracers, made.meters)
        listening.stop()
    assert made.spans == ()


@pytest.mark.parametrize("made", [Telemetry(ALWAYS_OFF), None], ids=["not sampled", "without an SDK"])
def test_where_nothing_is_kept_nothing_goes_wrong(
    made: Telemetry | None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.ERROR)
    providers: Any = (made.tracers, made.meters) if made else ()
    with instrument(*providers), Journal(tmp_path / "actions.db") as journal:
        with pytest.raises(Boom), transaction("order", journal=journal):
            put("a")
            raise Boom
        origin = journal.show(1).origin
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[02]", origin or "") if made else origin is None
    assert made is None or made.spans == ()
    assert caplog.records == []


def test_without_opentelemetry_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("actionqueues.views.o")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'actionqueues\[otel\]'"):
        __import__("actionqueues.views.opentelemetry")


@pytest.mark.parametrize("kind", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_whatever_happens_every_span_ends_and_nothing_changes(
    expected: Scenario, kind: type[World], t: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    assert expected.run.__module__ in LISTS
    world = kind()
    world.play(expected.run)
    assert world.trail == expected.trail
    assert len(t.spans) == t.counting.begun
    assert [record.getMessage() for record in caplog.records if "listener" in record.getMessage()] == []
    assert len([line for line in t.tree() if not line.startswith(" ")]) == len(
        [span for span in t.spans if span.parent is None]
    )
