"""`LogEvents`: the log tells a story, each part of it once, in records that formats may rely on."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from actionqueues import ActionQueue, CommitHookFailed, listen, transaction
from actionqueues.core.text import FIELDS
from actionqueues.views.logs import LogEvents
from tests.scripted import Scripted
from tests.world import AT_ONCE, Boom, World

LOGGER = logging.getLogger("actionqueues")


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "actionqueues")


@pytest.fixture
def listening() -> Iterator[None]:
    with listen(LogEvents()):
        yield


def told(caplog: pytest.LogCaptureFixture, least: int = logging.DEBUG) -> list[str]:
    records = [each for each in caplog.records if each.name.startswith("actionqueues") and each.levelno >= least]
    texts = [f"{record.levelname} {record.getMessage()}" for record in records]
    return [re.sub(r"in [\d.e-]+ s", "in … s", text) for text in texts]


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}


def play(world: World) -> None:
    with transaction("order"):
        world.define("a")()
        world.define("b", retry=AT_ONCE, fails=[Boom("busy")], body=part(world))()
        raise Boom("full")


def part(world: World) -> Any:
    async def body(_: object) -> None:
        with world.caught(), transaction("part"):
            await world.step("c", fails=[Boom("c")])

    return body


@pytest.mark.usefixtures("listening")
def test_at_debug_it_tells_each_step(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Boom, match="full"):
        play(World())
    c = [
        "DEBUG order: c started",
        "INFO order: c failed: Boom('c')",
        "DEBUG order: c undoing",
        "DEBUG order: c undone",
    ]
    assert told(caplog) == [
        "DEBUG order: opened, a transaction",
        "DEBUG order: a started",
        "DEBUG order: a done",
        "DEBUG order: b started",
        *c,
        "INFO order: b is tried again in … s, for attempt 2, after Boom('busy')",
        *c,
        "DEBUG order: b done",
        "DEBUG order: rolling back, because of Boom('full')",
        "DEBUG order: b undoing",
        "DEBUG order: b undone",
        "DEBUG order: a undoing",
        "DEBUG order: a undone",
        "INFO order rolled back: 4 undone, because of Boom('full')",
    ]


@pytest.mark.usefixtures("listening")
def test_at_info_it_tells_a_story(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with transaction("order"):
        world.define("a")()
        with transaction("part"):
            world.define("b", body=lambda _: world.step("c"))()
    with transaction("short"):
        with world.caught():
            world.define("a", fails=[Boom("no")])()
        world.define("b")()
    assert told(caplog, logging.INFO) == [
        "INFO order committed: 3 steps",
        "INFO short: a failed: Boom('no')",
        "INFO short committed: 2 steps, 1 undone on the way",
    ]


@pytest.mark.usefixtures("listening")
def test_at_warning_it_tells_of_problems_each_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def hook() -> None:
        raise Boom("hook")

    with pytest.raises(Boom), transaction("left"):
        world.define("mail", undo=False, irreversible=True)()
        raise Boom("full")
    with pytest.raises(Boom), transaction("stuck"):
        world.define("a", undo_fails=[Boom("no")])()
        raise Boom("full")
    with pytest.raises(CommitHookFailed), transaction("hooked") as q:
        q.on_commit(hook)
    with pytest.raises(Boom), transaction("fine"):
        world.define("a")()
        raise Boom("full")
    assert told(caplog, logging.WARNING) == [
        "WARNING left: not undone: mail (irreversible)",
        "ERROR stuck: the undo of a failed: Boom('no')",
        f"WARNING hooked: commit hook {hook.__qualname__.rpartition('.')[2]} failed: Boom('hook')",
    ]


@pytest.mark.usefixtures("listening")
def test_a_queue_and_hooks(caplog: pytest.LogCaptureFixture) -> None:
    queue = ActionQueue()
    queue.add(Scripted("a", []))
    queue.execute()
    queue.rollback()
    with transaction("order") as q:
        q.on_commit(len, "")
    assert told(caplog) == [
        "DEBUG action queue: Scripted queued",
        "DEBUG action queue: opened, a queue",
        "DEBUG action queue: Scripted started",
        "DEBUG action queue: Scripted done",
        "INFO action queue execute complete: 1 step",
        "DEBUG action queue: rolling back",
        "DEBUG action queue: Scripted undoing",
        "DEBUG action queue: Scripted undone",
        "INFO action queue rollback complete: 1 undone",
        "DEBUG order: opened, a transaction",
        "INFO order committed: 0 steps",
        "DEBUG order: commit hook len called",
    ]


def test_without_a_listener_it_tells_of_rollbacks_and_retries_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with pytest.raises(Boom):
        play(world)
    with transaction("fine") as q:
        world.define("a")()
        q.rollback()
    with pytest.raises(Boom), transaction("undo"):
        world.define("d", undo_fails=[Boom("busy")], undo_retry=AT_ONCE)()
        raise Boom("full")
    with pytest.raises(Boom), transaction("left"):
        world.define("mail", undo=False)()
        raise Boom("full")
    assert told(caplog) == [
        "INFO order: b is tried again in … s, for attempt 2, after Boom('busy')",
        "INFO order rolled back: 4 undone, because of Boom('full')",
        "INFO fine rolled back: 1 undone",
        "INFO undo: the undo of d is tried again in … s, for attempt 2, after Boom('busy')",
        "INFO undo rolled back: 1 undone, because of Boom('full')",
        "WARNING left: not undone: mail (no rollback handler)",
        "INFO left rolled back: 0 undone, 1 left, because of Boom('full')",
    ]


@pytest.mark.parametrize("listens", [False, True])
def test_each_record_has_all_fields(listens: bool, caplog: pytest.LogCaptureFixture) -> None:
    if listens:
        with listen(LogEvents()), pytest.raises(Boom):
            play(World())
    else:
        with pytest.raises(Boom):
            play(World())
    found = [fields(record) for record in caplog.records]
    assert {each["transaction"] for each in found} == {"order"}
    assert None not in {each["event_name"] for each in found}
    last = found[-1]
    assert (last["event_name"], last["state"], last["step"]) == ("transaction_rolled_back", "rolled back", None)
    assert (last["duration"] is not None) is listens
    retried = next(each for each in found if each["event_name"] == "step_retried")
    assert (retried["step"], retried["attempt"]) == ("b", 2)
    if listens:
        done = next(each for each in found if each["event_name"] == "step_done")
        assert (done["state"], done["attempt"], done["duration"] >= 0) == ("done", 1, True)


def test_another_logger_is_told_everything(caplog: pytest.LogCaptureFixture) -> None:
    mine = logging.getLogger("actionqueues.mine")
    world = World()
    with listen(LogEvents(mine)):
        with pytest.raises(Boom):
            play(world)
        with pytest.raises(Boom), transaction("left"):
            world.define("mail", undo=False)()
            raise Boom("full")
        with transaction("by hand") as q:
            q.rollback()
    texts = [f"{each.levelname} {each.getMessage()}" for each in caplog.records if each.name == mine.name]
    assert "INFO order: b is tried again, for attempt 2, after Boom('busy')" in texts
    assert "INFO order rolled back: 4 undone, because of Boom('full')" in texts
    assert "WARNING left rolled back: 0 undone, 1 left, because of Boom('full')" in texts
    assert "INFO by hand rolled back: 0 undone" in texts


def test_what_nobody_reads_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    LOGGER.setLevel(logging.WARNING)
    with listen(LogEvents()), transaction("order"):
        World().define("a")()
    with pytest.raises(Boom), transaction("order"):
        raise Boom
    assert caplog.records == []


@pytest.mark.usefixtures("listening")
def test_hostile_names_stay_in_their_line(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with pytest.raises(Boom), transaction("or\nder\x1b[31m"):
        world.define("st\rep")()
        raise Boom("\x1b")
    for record in caplog.records:
        assert record.getMessage().isprintable()
