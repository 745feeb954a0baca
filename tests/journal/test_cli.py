"""The command: what it prints, what it exits with, and that its errors are one line."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from actionqueues import cli, transaction
from actionqueues.journal import Journal, NotRestorable

from . import actions
from .actions import failing, trail
from .leaving import edit, leave


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    trail.clear()
    failing.clear()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield "actions.db"
    Journal("actions.db").close()


def left(path: str, *names: str) -> None:
    leave(Path(path), lambda q: [actions.put(name) for name in names])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    output = capsys.readouterr()
    return status, (output.out + output.err).splitlines()


def test_a_list_fits_the_terminal_and_says_what_is_left(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("a name that is much too long for a narrow terminal \x1b[2J " * 3, journal=path):
        actions.put("a")
    left(path, "b", "c")
    status, lines = run(capsys, "list", path)
    assert status == 1
    assert max(map(len, lines)) <= 80
    assert [line.split()[:2] for line in lines[1:-2]] == [["1", "committed"], ["2", "open"]]
    assert lines[-1] == "  actionqueues recover actions.db --import MODULE"
    assert "\x1b" not in "".join(lines)
    assert run(capsys, "list", path, "--state", "committed")[0] == 0


def test_json_has_everything(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    left(path, "a")
    status, lines = run(capsys, "show", path, "1", "--json")
    data = json.loads("\n".join(lines))
    assert (status, data["state"], data["steps"][0]["arguments"]) == (1, "open", '{"name": "a"}')
    assert json.loads("\n".join(run(capsys, "list", path, "--json")[1]))[0]["step_count"] == 1
    assert json.loads("\n".join(run(capsys, "recover", path, "--json")[1]))[0]["undone"] == ["put"]
    assert json.loads("\n".join(run(capsys, "prune", path, "--json")[1])) == {"deleted": 1}


def test_recovering_deciding_and_forgetting(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    left(path, "a", "b")
    failing["-a"] = OSError("not\nnow")
    status, lines = run(capsys, "recover", path, "--import", "tests.journal.actions")
    assert status == 1
    assert lines[-1] == "0 recovered, 1 left to a person"
    assert lines[0].startswith("1 left: stuck, 1 undone, tests.journal.actions:put: OSError(")
    status, lines = run(capsys, "show", path, "1")
    assert status == 1
    assert lines[3].startswith("reason: tests.journal.actions:put: OSError")
    assert lines[5].split()[:5] == ["1", "done", "undo", "failed", "tests.journal.actions:put"]
    assert lines[7] == "step 1: OSError('not\\nnow')"
    assert lines[-6:] == [
        "Once the reason is gone:",
        "  actionqueues recover actions.db 1 --import MODULE",
        "Undone by hand:",
        "  actionqueues resolve actions.db 1 STEP --undone",
        "To stay as it is:",
        "  actionqueues resolve actions.db 1 STEP --not-undone",
    ]
    assert run(capsys, "resolve", path, "1", "1", "--undone") == (0, ["transaction 1 is rolled back"])
    assert run(capsys, "show", path, "1")[0] == 0
    assert run(capsys, "prune", path, "--older-than", "1d") == (0, ["0 deleted"])
    assert run(capsys, "prune", path, "--older-than", "0s") == (0, ["1 deleted"])
    assert run(capsys, "list", path)[0] == 0


def test_hooks_are_shown_and_decided(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    failing["!x True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction("hooked", journal=path) as q:
        q.on_commit(actions.tell, "x")
        q.on_commit(actions.tell, "y")
    status, lines = run(capsys, "show", path, "1")
    assert (status, "to be called" in lines[-7], lines[-5]) == (1, True, "hook 1: OSError('not now')")
    assert lines[-1] == "  actionqueues resolve actions.db 1 HOOK --hook"
    assert lines[-6].split()[0] == "2"
    assert run(capsys, "resolve", path, "1", "1", "--hook", "--json")[0] == 0


def test_a_journal_that_a_module_makes_is_named_by_it(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    leave(Path(path), lambda q: actions.store(object(), "a"), resources={"db": object})
    Path("shop_jobs.py").write_text(
        "import tests.journal.actions\nfrom actionqueues.journal import Journal\n"
        "journal = Journal('actions.db', resources={'db': lambda: 'db'})\nother = 1\n"
    )
    assert run(capsys, "recover", "shop_jobs:journal")[0] == 0
    assert trail == ["-a in db"]
    assert run(capsys, "recover", "shop_jobs:other") == (2, ["actionqueues: shop_jobs:other is no Journal"])


def test_what_needs_an_event_loop_is_given_one(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    from .leaving import leave_async
    from .test_recovery import put_both

    leave_async(Path(path), put_both)
    left(path, "c")
    status, lines = run(capsys, "recover", path)
    assert (status, lines[-1], trail) == (0, "2 recovered, 0 left to a person", ["-c", "-b done", "-a"])


WRONG = [
    (("list", "nowhere.db"), "there is no journal 'nowhere.db': it is not there"),
    (("list", "."), "there is no journal '.': it is a folder"),
    (("list", "empty.db"), "'empty.db' is empty"),
    (("list", "foreign.db"), "foreign.db': is a database of something else"),
    (("show", "actions.db", "9" * 30), "is no number of a transaction"),
    (("show", "actions.db", "-1"), "'-1' is no number of a transaction"),
    (("recover", "actions.db", "1", "77"), "there is no transaction 77"),
    (("recover", "broken_module:journal"), "'broken_module' cannot be imported"),
    (("prune", "actions.db", "--older-than", "9999999999d"), "is no age"),
    (("prune", "actions.db", "--older-than", "²d"), "is no age"),
    (("show", "actions.db", "9"), "there is no transaction 9"),
    (("resolve", "actions.db", "1", "9", "--undone"), "there is no such step"),
    (("resolve", "actions.db", "1", "1"), "one of the arguments --undone --not-undone --hook is required"),
    (("prune", "actions.db", "--older-than", "soon"), "'soon' is no age"),
    (("list", "text.db"), "text.db"),
    (("watch", "nowhere.db"), "there is no journal 'nowhere.db': it is not there"),
    (("watch", "empty.db"), "'empty.db' is empty"),
    (("watch", "text.db"), "text.db': is no SQLite file"),
    (("watch", "foreign.db"), "foreign.db': is a database of something else"),
    (("show", "actions.db", "1", "--svg", "nowhere/drawing.svg"), "No such file or directory: 'nowhere/drawing.svg'"),
    (("show", "actions.db", "1", "--svg", "."), "Is a directory: '.'"),
    ((), "required: COMMAND"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_an_error_is_one_line(
    path: str, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left(path, "a")
    Path("text.db").write_text("hello\n" * 1000)
    Path("empty.db").touch()
    with closing(sqlite3.connect("foreign.db")) as foreign:
        foreign.execute("CREATE TABLE mine (x)")
    Path("broken_module.py").write_text("import os\nos.environ['HOME_OF']\n")
    status, lines = run(capsys, *arguments)
    assert (status, len(lines)) == (2, 1)
    assert message in lines[0]
    assert not Path("nowhere.db").exists()
    assert Path("empty.db").stat().st_size == 0
    assert trail == []


def test_an_output_that_was_closed_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left(path, "a")
    monkeypatch.setattr(sys, "stdout", None)  # what Python makes of that
    assert cli.main(["list", path]) == 1
    assert cli.main(["recover", path, "--import", "tests.journal.actions"]) == 0
    assert trail == ["-a"]
    sys.stdout.close()


def test_what_is_named_and_not_touched_says_why(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    left(path, "a")
    with transaction("in progress", journal=path):
        actions.put("b")
        status, lines = run(capsys, "recover", path, "1", "2")
        assert (status, lines[1]) == (1, "2 in progress: open, a live process is working on it")
    status, lines = run(capsys, "recover", path, "1", "2")
    assert status == 0
    assert lines == [
        "1 left: rolled back, there is nothing to do",
        "2 in progress: committed, there is nothing to do",
        "0 recovered, 0 left to a person",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", ["list", "show", "watch", "recover", "resolve", "prune"])
def test_help_fits_the_terminal(
    width: int, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    status, lines = run(capsys, command, "--help")
    assert (status, max(map(len, lines)) < max(80, width)) == (0, True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_columns_with_texts_share_the_room_that_there_is(
    path: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(ValueError, match="card"), transaction("sign-up of somebody " * 5, journal=path):
        actions.put("an argument " * 20)
        raise ValueError("no such card " * 10)
    _, lines = run(capsys, "list", path)
    assert {len(line) for line in lines[1:]} == {width}
    name, why = (len(lines[0].split("NAME")[0]), len(lines[0].split("WHY")[0]))
    assert abs((why - name - 2) - (width - why)) <= 1
    _, lines = run(capsys, "show", path, "1")
    assert lines[3] == "STEP  STATE  UNDO    NAME" + " " * (lines[3].index("ARGUMENTS") - 25) + "ARGUMENTS"
    assert len(lines[4]) == width


@pytest.mark.parametrize(("interrupt", "expected"), [(KeyboardInterrupt(), 130), (SystemExit(0), 2), (SystemExit(), 2)])
def test_a_recovery_that_is_interrupted_is_no_success(
    path: str, interrupt: BaseException, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    left(path, "a")
    failing["-a"] = interrupt
    status, lines = run(capsys, "recover", path)
    assert (status, len(lines)) == (expected, 1)
    assert lines[0].endswith("what is not done yet is left to the next time")
    failing.clear()
    assert run(capsys, "recover", path)[0] == 0


@pytest.mark.parametrize("width", [40, 50])
def test_a_narrow_terminal_has_no_room_for_what_matters_less(
    path: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(ValueError, match="card"), transaction("sign-up of somebody", journal=path):
        actions.put("an argument " * 20)
        raise ValueError("no such card " * 10)
    _, lines = run(capsys, "list", path)
    assert lines[0].split() == {40: ["ID", "STATE", "NAME", "WHY"], 50: ["ID", "STATE", "STEPS", "NAME", "WHY"]}[width]
    assert [len(line) for line in lines[1:]] == [width]
    _, lines = run(capsys, "show", path, "1")
    assert [len(line) for line in lines[4:]] == [width]


def test_letters_that_take_two_places_are_counted_as_two(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("日本" * 40, journal=path):
        actions.put("日本" * 500_000)
    head, line = run(capsys, "list", path)[1]
    assert line.count("日") == line.count("本") + 1
    assert len(line) + line.count("日") + line.count("本") == 80 - len("  WHY")
    *_, head, line = run(capsys, "show", path, "1")[1]
    assert len(line) + line.count("日") + line.count("本") in (79, 80)
    assert head.index("ARGUMENTS") == line.index("{")


def test_what_an_attempt_has_raised_is_shown_as_its_text(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileExistsError), transaction("fails", journal=path):
        actions.failed("a")
    assert "step 1: FileExistsError(17, 'exists')" in run(capsys, "show", path, "1")[1]
    for text in ("nonsense", "[]"):
        edit(Path(path), "UPDATE steps SET error = ?", text)
        assert f"step 1: {text}" in run(capsys, "show", path, "1")[1]


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, "--help")
    assert (status, "Exit status: 0 all is well" in "\n".join(lines)) == (0, True)
    assert all(len(line) < 80 for line in lines)
    status, lines = run(capsys, "recover", "--help")
    assert "actionqueues recover shop.jobs:journal" in "\n".join(lines)


def test_tracebacks_are_logged_if_they_are_wanted(
    path: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    left(path, "a")
    failing["-a"] = NotRestorable("a", "b")
    run(capsys, "recover", path, "--traceback")
    assert "the undo of put failed" in caplog.text


def test_a_reader_that_has_gone_is_no_error_in_this_process_either(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left(path, "a")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.main(["list", path]) == 0


def test_python_dash_m_is_the_command(path: str) -> None:
    import actionqueues

    left(path, "a")
    importlib.import_module("actionqueues.__main__")  # does nothing
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "actionqueues", "list", path],
        env={**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "open" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(path: str) -> None:
    import actionqueues

    with Journal(path) as journal:
        for number in range(300):
            with transaction(f"number {number}", journal=journal):
                actions.put("a")
    package = str(Path(actionqueues.__file__).parent.parent)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "actionqueues", "list", path]
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "PYTHONPATH": package}
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_nothing_undoes_is_told_by_the_exit_status_once(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    leave(Path(path), lambda q: (actions.put("a"), actions.irreversible()))
    status, lines = run(capsys, "recover", path)
    assert (status, lines) == (
        1,
        ["1 left: rolled back, 1 undone, not undone: irreversible", "0 recovered, 1 left to a person"],
    )
    assert run(capsys, "recover", path)[0] == 0
