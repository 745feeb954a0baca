"""The plugin: a subtest for each fault, ids, the matrix, the page, and rollback coverage; with pytest-xdist too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import actionqueues

ROOT = Path(actionqueues.__file__).parent.parent
ENTRY_POINT = ROOT / "actionqueues" / "testing" / "entry_point"  # where it is in a checkout
NEWER = int(pytest.__version__.partition(".")[0]) >= 9

SHOP = """
from actionqueues import action, transaction
world = {}
@action
def put(key): world[key] = True
@put.rollback
def take(key): world.pop(key, None)
@action
def lose(key):
    world[key] = True
    return key
@lose.rollback
def find(result): world.pop(result, None)
@action(irreversible=True)
def send(): ...
class Desk:
    @action
    def bare(self): ...
"""

TESTS = """
import shop
from actionqueues import transaction
from actionqueues.testing import memory
def good():
    with transaction("good"): shop.put("a")
def bad():
    with transaction("bad"): shop.lose("a")
def test_good(rollback_sweep):
    shop.world.clear()
    rollback_sweep(good, state=memory(shop.world))
def test_bad(rollback_sweep):
    shop.world.clear()
    rollback_sweep(bad, state=memory(shop.world), reset=shop.world.clear)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "test_shop.py").write_text(TESTS, encoding="utf-8")
    return tmp_path


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "_actionqueues_pytest", *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [ROOT, ENTRY_POINT, folder]))
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_failure_names_step_fault_and_difference_and_how_to_run_it_alone(shop: Path) -> None:
    done = run(shop, "test_shop.py")
    assert done.returncode == 1
    assert "after@lose: lost reply" in done.stdout
    assert "+ a: True" in done.stdout
    assert "its handler needs `result`, which a lost reply does not have" in done.stdout
    if NEWER:
        assert "again, alone: pytest 'test_shop.py::test_bad' --rollback-only='after@lose'" in done.stdout


def test_a_fault_is_run_alone_by_its_id(shop: Path) -> None:
    done = run(shop, "test_shop.py::test_bad", "--rollback-only=after@lose")
    assert done.returncode == 1
    assert "after@lose: lost reply" in done.stdout
    assert "interrupt@lose" not in done.stdout
    assert run(shop, "test_shop.py::test_bad", "--rollback-only=before@lose").returncode == 0


def test_the_matrix_can_be_read_without_colour_and_has_some_where_there_is(shop: Path) -> None:
    plain = run(shop, "test_shop.py::test_bad", "--color=no").stdout
    assert "before  after  interrupt  commit  undo  twice" in plain
    assert "lose  ok      FAIL   FAIL       -       ok    ok" in plain
    assert "\x1b[31mFAIL" in run(shop, "test_shop.py::test_bad", "--color=yes").stdout


def test_the_page_has_all_of_it_and_needs_nothing_else(shop: Path) -> None:
    run(shop, "test_shop.py", "--rollback-report=report.html")
    text = (shop / "report.html").read_text("utf-8")
    assert '<td class="failed">FAIL</td>' in text
    assert "after@lose: lost reply" in text
    assert "src=" not in text
    assert "href=" not in text


def test_rollback_coverage_lists_each_action_and_is_a_gate(shop: Path) -> None:
    done = run(shop, "test_shop.py::test_good", "--rollback-cov=shop", "--rollback-fail-under=100")
    assert done.returncode == 1
    assert "shop.put: done in a sweep, failed in a sweep" in done.stdout
    assert "shop.lose: find has not run" in done.stdout
    assert "shop.send: irreversible" in done.stdout
    assert "shop.Desk.bare: no rollback handler, and not irreversible=True" in done.stdout
    assert "total: 33 %, 100 % wanted" in done.stdout
    assert run(shop, "test_shop.py::test_good", "--rollback-cov=shop", "--rollback-fail-under=30").returncode == 0


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_matrices_and_coverage_come_from_the_workers_of_xdist(shop: Path) -> None:
    done = run(shop, "test_shop.py", "-n2", "--rollback-cov=shop", "--rollback-report=report.html")
    assert "rollback sweep of test_shop.py::test_good" in done.stdout
    assert "shop.put: done in a sweep" in done.stdout
    assert "after@lose" in (shop / "report.html").read_text("utf-8")


def test_loading_it_imports_nothing_of_the_package(tmp_path: Path) -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import _actionqueues_pytest; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ENTRY_POINT]))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "['_actionqueues_pytest']\n"


def test_a_pytest_without_subtests_tells_all_failures_together(shop: Path) -> None:
    done = run(shop, "test_shop.py", "-p", "no:subtests") if NEWER else run(shop, "test_shop.py")
    assert done.returncode == 1
    assert "after@lose: lost reply" in done.stdout
    assert "interrupt@lose: lost reply" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
