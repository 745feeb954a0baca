"""``actionqueues serve``: a process that prints an address, and ends in order."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

import actionqueues
from actionqueues import cli, transaction
from actionqueues.journal import Journal
from tests.journal.actions import put
from tests.journal.leaving import leave

from .visitor import TRANSACTIONS, Answer, Visitor

ROOT = Path(__file__).parent.parent.parent
PACKAGE = str(Path(actionqueues.__file__).parent.parent)


@contextmanager
def started(
    *arguments: str, program: str = "import sys, actionqueues.cli; sys.exit(actionqueues.cli.main(sys.argv[1:]))"
) -> Iterator[tuple[subprocess.Popen[str], Visitor]]:
    """The command in a process of its own, and somebody who has opened the address that it has printed."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", program, "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE, str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first, address = process.stdout.readline(), process.stdout.readline().strip()
        assert first.startswith("The journal is served until Ctrl-C ("), process.communicate()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[\w-]{43}", address)
        yield process, Visitor(address)
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it_in_order(path: Path) -> None:
    leave(path, lambda q: put("a"))
    with started(str(path), "--allow-actions", "--import", "tests.journal.actions") as (process, visitor):
        assert visitor.see(1)["group"] == "died"
        assert visitor.do("1/retry").data == {"told": "1 left: rolled back, 1 undone"}
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)
        assert (process.returncode, output) == (130, ("", ""))
    assert Journal(path).show(1).state == "rolled back"


def test_it_ends_in_order_when_it_is_told_to(path: Path) -> None:
    leave(path, lambda q: put("a"))
    with started(str(path)) as (process, visitor):
        assert visitor.see(1)["group"] == "died"
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)
        assert (process.returncode, output) == (-signal.SIGTERM, ("", ""))


def test_a_request_that_is_being_answered_is_answered_before_it_ends(path: Path) -> None:
    leave(path, lambda q: put("a"))
    program = """
import os, signal, sys, actionqueues.cli
from tests.journal import actions
actions.note = lambda text: os.kill(os.getpid(), signal.SIGINT)
sys.exit(actionqueues.cli.main(sys.argv[1:]))
"""
    with started(str(path), "--allow-actions", program=program) as (process, visitor):
        assert visitor.do("1/retry").data == {"told": "1 left: rolled back, 1 undone"}
        output = process.communicate(timeout=60)
        assert (process.returncode, output) == (130, ("", ""))


def test_the_second_ctrl_c_waits_for_no_answer_and_cuts_no_undo_short(path: Path, tmp_path: Path) -> None:
    leave(path, lambda q: put("a"))
    program = """
import os, sys, time, warnings, actionqueues.cli
from tests.journal import actions
warnings.simplefilter("ignore", ResourceWarning)  # the journal stays open for what is being undone
def note(text):
    print(text, flush=True)
    while not os.path.exists(sys.argv[-1]):
        time.sleep(0.01)
actions.note = note
sys.exit(actionqueues.cli.main(sys.argv[1:-1]))
"""
    go_on = tmp_path / "go on"
    answers: list[Answer] = []
    port = free_port()
    command = (str(path), "--port", str(port), "--allow-actions", str(go_on))
    with started(*command, program=program) as (process, visitor):
        asking = threading.Thread(target=lambda: answers.append(visitor.do("1/retry")))
        asking.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "-a\n"
        process.send_signal(signal.SIGINT)
        while is_listening(port):  # until it has seen that
            pass
        process.send_signal(signal.SIGINT)
        asking.join()
        assert (answers[0].status, "told to end at once" in answers[0].data["error"]) == (503, True)
        go_on.touch()
        output = process.communicate(timeout=60)
        assert (process.returncode, output) == (130, ("", ""))
    assert Journal(path).show(1).state == "rolled back"


def test_it_may_only_be_read_unless_it_is_allowed_to_change(path: Path) -> None:
    leave(path, lambda q: put("a"))
    with started(str(path)) as (_, visitor):
        assert visitor.ask(TRANSACTIONS).data["actions"] is False
        assert visitor.do("1/retry").status == 403
    assert Journal(path).show(1).state == "open"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_in_this_process_it_ends_in_order_as_well(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
    seen: list[int] = []
    port = free_port()
    before = logging.getLogger("actionqueues").handlers[:]

    def visit() -> None:
        try:
            while not is_listening(port):
                pass
            with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                connection.request("GET", "/")
                seen.append(connection.getresponse().status)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        assert cli.main(["serve", str(path), "--port", str(port)]) == 130
    finally:
        thread.join()
        logging.getLogger("actionqueues").handlers[:] = before
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == (
        "The journal is served until Ctrl-C (read-only; with --allow-actions it may be changed) at"
    )
    assert output.out.splitlines()[1].startswith(f"  http://127.0.0.1:{port}/#token=")
    assert output.err == ""
    assert seen == [200]


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    try:
        status = cli.main(["serve", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    output = capsys.readouterr()
    assert (status, output.out, output.err.count("\n")) == (2, "", 1)
    return output.err


def test_a_port_that_is_taken_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused(capsys, str(path), "--port", str(port)) == (
            f"actionqueues: cannot listen on port {port}: it is taken; "
            "name another one, or none, for any that is free\n"
        )


def test_a_port_that_may_not_be_used_is_one_line(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")

    def bind(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # which root, who runs the tests, is never told

    monkeypatch.setattr("actionqueues.serve.running.socket.socket", type("Socket", (socket.socket,), {"bind": bind}))
    assert refused(capsys, str(path), "--port", "80") == "actionqueues: cannot listen on port 80: Permission denied\n"


@pytest.mark.parametrize("port", ["x", "-1", "65536", "100000", "1.5"])
def test_what_is_no_port_is_one_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{port!r} is no port; write a number up to 65535" in refused(capsys, "actions.db", f"--port={port}")


def test_a_file_that_is_no_journal_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no journal 'nowhere.db': it is not there" in refused(capsys, "nowhere.db")
    text = tmp_path / "text.db"
    text.write_text("no journal " * 100)
    assert "is no SQLite file" in refused(capsys, str(text))
    text.write_text("")
    assert "is empty: nothing has been recorded in it yet" in refused(capsys, str(text))


def test_a_module_that_cannot_be_imported_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'nowhere.at_all' cannot be imported" in refused(capsys, str(path), "--import", "nowhere.at_all")


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "actionqueues.serve.running", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert refused(capsys, "actions.db") == (
        "actionqueues: uvicorn is not installed; pip install 'actionqueues[serve]'\n"
    )


def test_what_one_may_only_read_is_served() -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    program = """
import asyncio, os, shutil, sqlite3, sys, tempfile, unicodedata, urllib.parse
import actionqueues.cli, actionqueues.serve.running, anyio._backends._asyncio
import uvicorn.protocols.http.h11_impl, uvicorn.loops.asyncio
os.setegid(65534)
os.seteuid(65534)  # after the imports, which are the owner's alone
sys.exit(actionqueues.cli.main(sys.argv[1:]))
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "actions.db"
        with Journal(path), transaction("closed", journal=path):
            put("a")
        for each in path.parent.iterdir():
            each.chmod(0o644)
        path.parent.chmod(0o755)
        with started(str(path), "--allow-actions", program=program) as (_, visitor):
            assert [each["name"] for each in visitor.ask(TRANSACTIONS).data["transactions"]] == ["closed"]
            assert visitor.see(1)["steps"][0]["name"] == "put"
            answer = visitor.do("1/abandon")
            assert (answer.status, "cannot be written to" in answer.data["error"]) == (503, True)


def test_it_explains_itself_and_prints_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: --json" in refused(capsys, "actions.db", "--json")
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    assert "--allow-actions" in capsys.readouterr().out
