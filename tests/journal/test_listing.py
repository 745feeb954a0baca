"""What `list` and `show` say of live work, of what dead processes left, and of what a person can do about the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.cli import parser
from actionqueues.journal import Journal, damage

from . import actions
from .actions import failing, trail
from .leaving import edit, leave, recovered
from .stage import start
from .test_cli import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A journal in which another process is in a step."""
    (tmp_path / "world").mkdir(exist_ok=True)
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    yield tmp_path / "actions.db"
    process.kill()
    process.communicate()
    Journal(tmp_path / "actions.db").close()


def test_live_work_is_running_and_nothing_to_worry_about(live: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, "list", str(live))
    assert (status, len(lines)) == (0, 2)
    assert lines[1].split()[:2] == ["1", "running"]
    status, lines = run(capsys, "show", str(live), "1")
    assert (status, lines[0]) == (0, "transaction 1 waits: open, a live process is working on it")
    assert "actionqueues" not in "".join(lines)
    status, lines = run(capsys, "list", str(live), "--json")
    assert (status, [each["live"] for each in json.loads("\n".join(lines))]) == (0, [True])


def test_looking_at_live_work_does_not_keep_a_recovery_from_anything(live: Path) -> None:
    looks = Journal(live)
    (entry,) = looks.transactions("open")
    assert (entry.live, looks.show(1).live, looks.recover()) == (True, True, [])
    looks.close()


def test_a_state_that_there_is_not_is_refused_with_those_that_there_are(path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^no transaction is 'comitted' \(did you mean 'committed'\?\); the states are "
    ):
        Journal(path).transactions("comitted")
    assert parser._STATES == damage.STATES


def test_the_work_of_this_process_is_live_too(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("in progress", journal=path):
        actions.put("a")
        assert run(capsys, "list", str(path))[0] == 0
        (entry,) = Journal(path).transactions()
        assert entry.live
    (entry,) = Journal(path).transactions()
    assert not entry.live


def test_what_a_dead_process_left_is_recovered_by_a_command_that_is_printed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(path, lambda q: actions.put("a"))
    status, lines = run(capsys, "list", str(path))
    assert (status, lines[1].split()[:2]) == (1, ["1", "open"])
    assert lines[1].endswith("its process has died")
    assert lines[2:] == [
        "What dead processes left is undone by",
        f"  actionqueues recover {path} --import MODULE",
    ]
    status, lines = run(capsys, "show", str(path), "1")
    assert lines[-2:] == [
        "Its process has died. To undo it:",
        f"  actionqueues recover {path} 1 --import MODULE",
    ]
    command = lines[-1].replace("MODULE", "tests.journal.actions").split()[1:]
    assert run(capsys, *command)[0] == 0
    assert trail == ["-a"]


def test_what_is_stuck_says_what_a_person_can_do(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing["-a"] = OSError("not now")
    leave(path, lambda q: actions.put("a"))
    recovered(path)
    status, lines = run(capsys, "list", str(path))
    assert (status, lines[1].split()[:2]) == (1, ["1", "stuck"])
    assert lines[2:] == ["Why something is stuck, and what to do, says", f"  actionqueues show {path} 1"]
    leave(path, lambda q: actions.put("a"))
    Journal(path).recover(2)
    assert run(capsys, "list", str(path))[1][-1] == f"  actionqueues show {path} ID"


def test_a_committed_one_whose_hook_has_failed_says_what_to_do(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing["!x True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction(journal=path) as q:
        q.on_commit(actions.tell, "x")
    status, lines = run(capsys, "list", str(path))
    assert (status, lines[-1]) == (1, f"  actionqueues show {path} 1")


def test_a_journal_of_a_module_imports_by_itself(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: actions.put("a"))
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    name = f"jobs_of_{path.parent.name}"
    (path.parent / f"{name}.py").write_text(
        f"from actionqueues.journal import Journal\njournal = Journal({str(path)!r})\n"
    )
    assert run(capsys, "list", f"{name}:journal")[1][-1] == f"  actionqueues recover {name}:journal"


BROKEN = {
    "broken": ("import os\nos.environ['HOME_OF']\n", "cannot be imported: KeyError: 'HOME_OF'"),
    "exits": ("raise SystemExit(3)\n", "cannot be imported: SystemExit: 3"),
    "no_syntax": ("def\n", "cannot be imported: SyntaxError"),
    "absent": (None, "No module named"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_module_that_cannot_be_imported_stops_what_needs_it_and_nothing_else(
    kind: str, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    source, message = BROKEN[kind]
    name = f"{kind}_of_{path.parent.name}"
    if source is not None:
        (path.parent / f"{name}.py").write_text(source)
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    edit(path, "UPDATE steps SET name = ? WHERE tx = 2", f"{name}:put")
    status, lines = run(capsys, "recover", str(path), "--import", name)
    assert (status, trail) == (2, ["-a"])
    assert message in lines[-1]
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back", "stuck"]


def test_where_nobody_can_tell_who_lives_that_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(path, lambda q: actions.put("a"))
    os.rename(f"{path}-owners", f"{path}-away")
    os.mkdir(f"{path}-owners")
    assert [entry.live for entry in Journal(path).transactions()] == [None]
    status, lines = run(capsys, "list", str(path))
    assert (status, lines[1].endswith("its process may live")) == (1, True)


def test_the_command_itself_lists_live_work_as_running(live: Path) -> None:
    import actionqueues

    done = subprocess.run(
        [sys.executable, "-m", "actionqueues", "list", str(live)],
        env={**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "running" in done.stdout
