"""The examples run, succeed, and say so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import actionqueues

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
LAST_LINES = {
    "agent_tools.py": "OK: plan B is all there, and nothing is left of plan A",
    "classic_queue.py": "OK: all of the four or none, and four attempts.",
    "deploy.py": "OK: 11 things compared, all as they were before the failed deploy",
    "fan_out.py": "OK: nothing of the failed import is left, and 299 of 299 are in",
    "signup.py": "28 signed up, 9 undone. OK: every difference was in a report, and none is left.",
}


PACKAGE = str(Path(actionqueues.__file__).parent.parent)


def run(example: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(ROOT / "examples" / example), *arguments],
        cwd=cwd,
        # A narrow terminal: nothing that an example reads of other programs may be cut off by it.
        env={**os.environ, "PYTHONPATH": PACKAGE, "PYTHONIOENCODING": "utf-8", "COLUMNS": "40"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("example", sorted(LAST_LINES))
def test_an_example_runs_from_any_folder_and_leaves_nothing_behind(example: str, tmp_path: Path) -> None:
    done = run(example, cwd=tmp_path)
    # `-X dev` makes asyncio tell of what takes long, which depends on how busy the machine is.
    assert [line for line in done.stderr.splitlines() if not line.startswith("Executing <")] == []
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == LAST_LINES[example]
    assert list(tmp_path.iterdir()) == []


def test_every_example_program_is_run() -> None:
    programs = {name for name in EXAMPLES if '__name__ == "__main__"' in (ROOT / "examples" / name).read_text("utf-8")}
    assert programs == set(LAST_LINES)


def test_the_main_job_keeps_its_files_where_it_is_told(tmp_path: Path) -> None:
    done = run("signup.py", "--workdir", str(tmp_path / "work"), cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "work" / "signup.log").read_text("utf-8").count("the undo of index_user failed") == 1


@pytest.mark.parametrize("example", sorted(LAST_LINES))
def test_an_example_tells_what_it_is_and_refuses_what_it_does_not_know(example: str, tmp_path: Path) -> None:
    assert run(example, "--help", cwd=tmp_path).stdout.startswith(f"usage: {example}")
    done = run(example, "nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("unrecognized arguments: nonsense\n")


def test_a_dry_run_of_the_deploy_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    done = run("deploy.py", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, head, blank, columns, *lines = done.stdout.splitlines()
    assert (first, blank) == ("Deploying shop-1.tar.gz", "")
    assert head == "deploy shop-1.tar.gz: 5 steps queued"
    assert columns.split() == ["step", "arguments", "undone", "by"]
    steps = [line.split() for line in lines if line[0] != " "]
    assert [words[1] for words in steps] == ["unpack", "migrate", "switch_current", "start_server", "check_health"]
    assert [words[-1] for words in steps] == [
        "remove_release",
        "migrate_down",
        "switch_back",
        "stop_server",
        "read-only",
    ]
    assert "   unpack shop-1.tar.gz into a folder of its own" in lines


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM that a process could handle")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deploy_that_is_stopped_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "deploy.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PACKAGE, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Deploying shop-1.tar.gz\n"
        process.send_signal(number)
        process.stdout.read()  # until the last of the servers has closed it, too
    assert process.returncode == (-number if number is signal.SIGINT else 128 + number)
    assert list(tmp_path.iterdir()) == []
