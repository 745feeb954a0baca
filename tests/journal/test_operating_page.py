"""What the page tells people to set up is run, as far as it can be here: units, a probe, a crontab, Celery's beat."""

from __future__ import annotations

import configparser
import importlib
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actionqueues.journal import Journal
from tests.documents import JOURNALS, ran, sections

from . import actions
from .actions import failing
from .leaving import leave
from .rounds import states, until
from .terminal import environment
from .test_check import begun

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

ROOT = Path(__file__).parent.parent.parent


def texts(section: str, language: str) -> list[str]:
    return [block.text for block in sections(JOURNALS)[section] if block.language == language]


NAMES = ("shop-recover.service", "shop-check.service", "shop-check.timer")
UNITS: dict[str, str] = dict(zip(NAMES, texts("systemd", "ini"), strict=True))


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with the command, as where a package is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "actionqueues"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m actionqueues "$@"\n')
    script.chmod(0o755)
    return folder


def here(words: list[str], path: Path, bin_folder: Path) -> list[str]:
    """A command of the page, with the paths and the module of this test."""
    known = {"shop.jobs": "tests.journal.actions"}
    found = [known.get(word, str(path) if word.endswith("/actions.db") else word) for word in words]
    return [str(bin_folder / "actionqueues"), *found[1:]]


def recovers(command: list[str], path: Path) -> None:
    """It recovers what is left, and ends by SIGTERM."""
    leave(path, lambda q: actions.put("a"))
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"1 left: rolled back, 1 undone\n"
        child.terminate()
        assert child.communicate(timeout=60)[0] == b""
        assert child.returncode == -signal.SIGTERM
    finally:
        child.kill()


def checks(command: list[str], path: Path) -> None:
    """It is healthy, until something has been stuck for too long."""
    leave(path, lambda q: actions.put("b"))
    healthy = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, check=False)
    assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, b"", b"")
    failing["-b"] = OSError("not now")
    Journal(path).recover()
    begun(path, timedelta(hours=1), 1)
    left = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, check=False)
    assert (left.returncode, left.stderr) == (1, b"")
    assert left.stdout.startswith(b"1 left: stuck, began 1 h ago: tests.journal.actions:put: OSError")


# -- systemd


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.read_string(UNITS[name])
    return parsed


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here; their commands are run below")
    for name, text in UNITS.items():
        command = re.sub(r"/srv/shop/venv/bin/actionqueues", "/bin/true", text)
        (tmp_path / name).write_text(command.replace("User=shop\n", "").replace("/srv/shop", "/"))
    units = [str(tmp_path / name) for name in UNITS]
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "shop-" in line]) == (0, [])


def test_the_commands_of_the_units_do_what_they_are_for(path: Path, tmp_path: Path, bin_folder: Path) -> None:
    recover = unit("shop-recover.service")["Service"]
    assert (recover["Restart"], recover.get("Type", "simple")) == ("always", "simple")
    recovers(here(shlex.split(recover["ExecStart"]), path, bin_folder), path)
    check = unit("shop-check.service")["Service"]
    assert check["Type"] == "oneshot"
    checks(here(shlex.split(check["ExecStart"]), tmp_path / "other.db", bin_folder), tmp_path / "other.db")
    Journal(tmp_path / "other.db").close()
    assert unit("shop-check.timer")["Install"]["WantedBy"] == "timers.target"


# -- Kubernetes, cron


def lists(text: str) -> list[list[str]]:
    """What stands in the brackets of `command: [...]`."""
    found = re.findall(r"^ *command: \[(.*)\]$", text, re.MULTILINE)
    return [[word.strip().strip('"') for word in each.split(",")] for each in found]


def test_the_probe_and_the_sidecar_do_what_they_are_for(path: Path, tmp_path: Path, bin_folder: Path) -> None:
    (text,) = texts("Kubernetes", "yaml")
    recover, check = lists(text)
    assert text.index("command: [actionqueues, recover") < text.index("readinessProbe:") < text.index("check")
    recovers(here(recover, path, bin_folder), path)
    checks(here(check, tmp_path / "other.db", bin_folder), tmp_path / "other.db")
    Journal(tmp_path / "other.db").close()


def test_the_line_of_the_crontab_does_what_it_is_for(path: Path, bin_folder: Path) -> None:
    (line,) = texts("What is stuck is a queue", "txt")
    *times, rest = line.strip().split(maxsplit=5)
    assert times == ["*/5", "*", "*", "*", "*"]
    checks(here(shlex.split(rest), path, bin_folder), path)


def test_the_commands_that_are_shown_are_understood() -> None:
    from actionqueues.cli.parser import new_parser

    (shown,) = texts("What is stuck is a queue", "sh")
    names = [new_parser().parse_args(shlex.split(line)[1:]).run.__name__ for line in shown.splitlines()]
    assert [name.strip("_") for name in names] == ["recover", "check", "retry", "abandon"]


# -- Celery


@pytest.fixture
def celery_program() -> Iterator[dict[str, Any]]:
    pytest.importorskip("celery", reason="celery is not installed; it is in the extra 'frameworks'")
    level, handlers = logging.root.level, [*logging.root.handlers]
    with ran(JOURNALS, "Celery") as program:
        yield program
        program["app"].close()
        program["journal"].close()
    logging.root.setLevel(level)  # a worker sets up the log of its process
    logging.root.handlers[:] = handlers


def test_beat_starts_the_task_when_it_is_due_and_a_worker_recovers(celery_program: dict[str, Any]) -> None:
    beat: Any = importlib.import_module("celery.beat")  # it has no types
    testing: Any = importlib.import_module("celery.contrib.testing.worker")
    app, journal = celery_program["app"], celery_program["journal"]
    path = Path(journal.path)
    leave(path, lambda q: actions.put("a"))
    scheduler = beat.Scheduler(app, lazy=True)
    scheduler.setup_schedule()
    (entry,) = [each for name, each in scheduler.schedule.items() if name == "recover"]
    assert (entry.task, entry.schedule.run_every) == ("shop.recover", timedelta(seconds=30))
    assert entry.task in app.tasks
    assert entry.options == {"expires": 30}
    assert not entry.is_due()[0]
    entry.last_run_at -= timedelta(seconds=31)
    assert entry.is_due()[0]
    with testing.start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
        scheduler.apply_async(entry, advance=False)
        until(lambda: states(path) == ["rolled back"])


def test_the_task_is_called_at_once_in_tests_of_programs(celery_program: dict[str, Any]) -> None:
    app = celery_program["app"]
    path = Path(celery_program["journal"].path)
    app.conf.task_always_eager = app.conf.task_eager_propagates = True
    leave(path, lambda q: actions.put("a"))
    celery_program["recover"].delay()
    assert states(path) == ["rolled back"]
