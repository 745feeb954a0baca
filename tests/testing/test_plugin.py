"""The plugin: a subtest for each fault, ids, the matrix, the page, and rollback coverage; with pytest-xdist too."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import actionqueues

pytest_plugins = ["pytester"]

ROOT = Path(actionqueues.__file__).parent.parent
CHECKOUT = Path(__file__).parent.parent.parent
ENTRY_POINT = ROOT / "actionqueues" / "testing" / "entry_point"  # where it is in a checkout
NEWER = int(pytest.__version__.partition(".")[0]) >= 9
subtests = pytest.mark.skipif(not NEWER, reason="this pytest has no subtests")
#: The plugin, from the checkout, whether or not the package is installed.
PLUGIN = ["-p", "no:cacheprovider", "-p", "no:actionqueues", "-p", "_actionqueues_pytest"]
#: What pytest prints depends on these, so they do not reach the runs within a test.
HOST = ["PYTEST_ADDOPTS", "CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS"]

SHOP = """
from actionqueues import action, transaction
world = {}
@action
def put(key):
    assert key not in world
    world[key] = True
@put.rollback
def take(key, error):
    if not isinstance(error, AssertionError): world.pop(key, None)
@action
def lose(key):
    assert key not in world
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

BOTH = "    test_bad(rollback_sweep)\n"


@pytest.fixture
def shop(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a module of actions, and tests of them."""
    for name in HOST:
        monkeypatch.delenv(name, raising=False)
    pytester.syspathinsert(ENTRY_POINT)
    pytester.syspathinsert(ROOT)
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    return pytester


@pytest.fixture
def here(shop: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs pytest in this process."""
    return lambda *options: shop.runpytest_inprocess(*PLUGIN, "-p", "no:xdist", *options)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, which finds modules of the folder only where pytest itself does."""
    command = [sys.executable, "-P", "-m", "pytest", *PLUGIN, *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV", *HOST))}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [ROOT, ENTRY_POINT]))
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


Here = Callable[..., pytest.RunResult]


def test_a_failure_names_step_fault_and_difference_and_how_to_run_it_alone(here: Here) -> None:
    done = here("test_shop.py")
    assert done.ret == 1
    text = done.stdout.str()
    assert "after@lose: lost reply" in text
    assert "+ a: True" in text
    assert "its handler needs `result`, which a lost reply does not have" in text
    if NEWER:
        assert "again, alone: pytest test_shop.py::test_bad --rollback-only=after@lose" in text


def test_a_fault_is_run_alone_by_its_id(here: Here) -> None:
    done = here("test_shop.py::test_bad", "--rollback-only=after@lose")
    assert done.ret == 1
    assert "after@lose: lost reply" in done.stdout.str()
    assert "interrupt@lose" not in done.stdout.str()
    assert here("test_shop.py::test_bad", "--rollback-only=before@lose").ret == 0


@subtests
def test_a_fault_of_one_of_several_sweeps_of_a_test_is_run_alone(shop: pytest.Pytester, here: Here) -> None:
    shop.makepyfile(test_both=f"{TESTS}\ndef test_both(rollback_sweep):\n    test_good(rollback_sweep)\n" + BOTH)
    assert here("test_both.py::test_both", "--rollback-only=after@put").ret == 0
    assert here("test_both.py::test_both", "--rollback-only=after@lose").ret == 1
    assert here("test_both.py::test_both", "--rollback-only=after@put", "--rollback-only=before@lose").ret == 0
    done = here("test_both.py::test_both", "--rollback-only=after@put", "--rollback-only=before@push")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["before@push was not reached; the steps of this run were put", "before@push*were lose"])


@subtests
def test_a_command_that_is_shown_works_from_where_pytest_was_started(
    shop: pytest.Pytester, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.makeini("[pytest]")
    shop.syspathinsert()
    folder = shop.mkdir("inner")
    (folder / "test_inner.py").write_text(TESTS, "utf-8")
    monkeypatch.chdir(folder)
    done = here("--import-mode=importlib", "test_inner.py::test_bad")
    done.stdout.fnmatch_lines(["again, alone: pytest test_inner.py::test_bad --rollback-only=after@lose"])


def test_what_is_wrong_with_a_sweep_is_shown_where_it_is_called(shop: pytest.Pytester, here: Here) -> None:
    shop.makepyfile(test_called=TESTS.replace("(good, ", "(good(), "))
    done = here("test_called.py::test_good")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*TypeError: the scenario must be a function without arguments, not None: *"])
    assert "sweeping.py" not in done.stdout.str()


@subtests
@pytest.mark.parametrize("ci", ["", "true"])  # where it is set, pytest shows each message once more, at the end
@pytest.mark.slow
def test_a_command_that_is_shown_works_whatever_is_in_a_name(
    shop: pytest.Pytester, here: Here, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    shop.makepyfile(
        test_odd="""
        import pytest, shop
        from actionqueues import action, transaction
        from actionqueues.testing import memory
        @pytest.mark.parametrize("name", ["a[0]::b", "it's > $HOME @ #2.x"])
        def test_odd(name, rollback_sweep):
            shop.world.clear()
            @action(name=name)
            def put(): shop.world[name] = True
            def scenario():
                with transaction(name): put()
            rollback_sweep(scenario, state=memory(shop.world), reset=shop.world.clear, faults=["-taken"])
        """
    )
    text = here("test_odd.py").stdout.str()
    commands = {line.partition("again, alone: pytest ")[2] for line in text.splitlines() if "again, alone" in line}
    assert len(commands) == 6

    for command in commands:
        again = here(*shlex.split(command))
        assert again.ret == 1
        assert "1 failed" in again.stdout.str() or "contains 1 failed subtest" in again.stdout.str()


def test_a_fault_that_a_call_names_and_that_is_not_reached_is_an_error(shop: pytest.Pytester, here: Here) -> None:
    call = 'rollback_sweep(good, state=memory(shop.world), only=["after@nothing"])'
    shop.makepyfile(test_named=f"{TESTS}\ndef test_named(rollback_sweep):\n    {call}")
    done = here("test_named.py::test_named")
    assert done.ret == 1
    assert "after@nothing" in done.stdout.str()


def test_the_matrix_can_be_read_without_colour_and_has_some_where_there_is(here: Here) -> None:
    plain = here("test_shop.py::test_bad", "--color=no").stdout.str()
    assert "before  after  interrupt  commit  undo  twice  taken" in plain
    assert "lose  ok      FAIL   FAIL       -       ok    ok     ok" in plain
    assert "\x1b[31mFAIL" in here("test_shop.py::test_bad", "--color=yes").stdout.str()


def test_a_narrow_terminal_gets_the_columns_below_each_other(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = here("test_shop.py::test_good", "--color=no").stdout.lines
    assert [line.rstrip() for line in lines[lines.index("      before  after  interrupt  commit") :]][:5] == [
        "      before  after  interrupt  commit",
        "put   ok      ok     ok         -",
        "good  -       -      -          ok",
        "      undo  twice  taken",
        "put   ok    ok     ok",
    ]


def test_the_page_has_all_of_it_and_needs_nothing_else(shop: pytest.Pytester, here: Here) -> None:
    here("test_shop.py", "--rollback-report=new/folder/report.html")
    text = (shop.path / "new" / "folder" / "report.html").read_text("utf-8")
    assert '<td class="failed">FAIL</td>' in text
    assert "after@lose: lost reply" in text
    assert "2 sweeps, 14 faults injected, 2 found something." in text
    assert "src=" not in text
    assert "href=" not in text


def test_a_page_that_cannot_be_written_fails_the_run_and_says_why(shop: pytest.Pytester, here: Here) -> None:
    (shop.path / "taken").write_text("no folder")
    done = here("test_shop.py::test_good", "--rollback-report=taken/report.html")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["rollback report: not written: *taken*"])
    done.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_rollback_coverage_lists_each_action_and_is_a_gate(here: Here) -> None:
    done = here("test_shop.py::test_good", "--rollback-cov=shop", "--rollback-fail-under=100")
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        [
            "shop.Desk.bare: no rollback handler, and not irreversible=True",
            "shop.lose: find has not run",
            "shop.put: done in a sweep, failed in a sweep",
            "shop.send: irreversible",
            "total: 33 %, 100 % wanted",
        ]
    )
    assert here("test_shop.py::test_good", "--rollback-cov=shop", "--rollback-fail-under=30").ret == 0


def test_a_package_that_cannot_be_imported_fails_the_run_and_says_why(here: Here) -> None:
    done = here("test_shop.py::test_good", "--rollback-cov=no_such_package")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["no_such_package cannot be looked at: ModuleNotFoundError*"])


def test_a_package_without_actions_fails_the_run_and_says_so(here: Here) -> None:
    done = here("test_shop.py::test_good", "--rollback-cov=json")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["json defines no action; name the package whose modules do"])


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--rollback-fail-under=100"], "--rollback-fail-under needs --rollback-cov=PACKAGE"),
        (["--rollback-cov=shop", "--rollback-fail-under=101"], "is a percentage, from 0 to 100, not 101"),
    ],
)
def test_a_gate_that_gates_nothing_is_refused(here: Here, options: list[str], refusal: str) -> None:
    done = here("test_shop.py::test_good", *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert refusal in done.stderr.str()


def test_nothing_is_covered_and_nothing_fails_where_tests_are_only_collected(here: Here) -> None:
    done = here("--collect-only", "--rollback-cov=shop", "--rollback-fail-under=100", "--rollback-report=r.html")
    assert done.ret == 0
    done.stdout.no_fnmatch_line("*rollback coverage*")


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed")
@pytest.mark.parametrize("limit", [10, 100])
@pytest.mark.slow
def test_matrices_and_coverage_come_from_the_workers_of_xdist(shop: pytest.Pytester, limit: int) -> None:
    done = run(
        shop.path,
        "test_shop.py::test_good",
        "-n2",
        "--rollback-cov=shop",
        f"--rollback-fail-under={limit}",
        "--rollback-report=report.html",
    )
    assert done.returncode == (limit == 100)
    assert "rollback sweep of test_shop.py::test_good" in done.stdout
    assert "shop.put: done in a sweep, failed in a sweep" in done.stdout
    assert "<h2>test_shop.py::test_good</h2>" in (shop.path / "report.html").read_text("utf-8")


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_matrices_come_from_the_workers_of_xdist_without_any_option(shop: pytest.Pytester) -> None:
    done = run(shop.path, "test_shop.py::test_good", "-n1")
    assert done.stdout.count("rollback sweep of test_shop.py::test_good") == 1


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


def test_a_run_that_uses_no_sweep_imports_nothing_of_the_package(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        test_other="""
        import sys
        def test_other():
            assert not [name for name in sys.modules if name.partition(".")[0] == "actionqueues"]
        """
    )
    done = run(shop.path, "test_other.py", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout


def test_a_pytest_without_subtests_tells_all_failures_together(here: Here) -> None:
    done = here("test_shop.py", *(["-p", "no:subtests"] if NEWER else []))
    assert done.ret == 1
    assert "after@lose: lost reply" in done.stdout.str()
    assert "interrupt@lose: lost reply" in done.stdout.str()
    done.assert_outcomes(failed=1, passed=1)


def test_a_sweep_of_which_no_trial_is_wanted_is_an_error(shop: pytest.Pytester, here: Here) -> None:
    shop.makepyfile(test_none=TESTS.replace("rollback_sweep(good, ", "rollback_sweep(good, faults=['cancel'], "))
    done = here("test_none.py::test_good")
    assert done.ret == 1
    assert "SweepError: no fault was injected: faults= leaves none that fits this scenario" in done.stdout.str()


def test_tests_of_unittest_and_classes_can_use_the_fixture(shop: pytest.Pytester, here: Here) -> None:
    shop.makepyfile(
        test_classes=f"""{TESTS}
import pytest, unittest
class TestClass:
    def test_in_a_class(self, rollback_sweep):
        test_good(rollback_sweep)
class Case(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take_it(self, rollback_sweep):
        self.rollback_sweep = rollback_sweep
    def test_in_a_case(self):
        test_good(self.rollback_sweep)
"""
    )
    done = here("test_classes.py", "-k", "in_a")
    assert done.ret == 0
    assert "rollback sweep of test_classes.py::TestClass::test_in_a_class" in done.stdout.str()
    assert "rollback sweep of test_classes.py::Case::test_in_a_case" in done.stdout.str()


def test_faults_in_threads_of_the_scenario_are_no_warnings(shop: pytest.Pytester, here: Here) -> None:
    shop.makepyfile(
        test_threads="""
        import threading, shop
        from actionqueues import transaction
        from actionqueues.testing import memory
        def scenario():
            with transaction("threads") as q:
                threads = [threading.Thread(target=q.run, args=(shop.put, key)) for key in "abc"]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
        def test_threads(rollback_sweep):
            shop.world.clear()
            rollback_sweep(scenario, state=memory(shop.world))
        """
    )
    assert here("test_threads.py", "-W", "error").ret == 0


def test_the_plugin_can_be_switched_off_by_the_name_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"actionqueues": "_actionqueues_pytest"}


def test_the_fixture_takes_what_sweep_takes() -> None:
    import inspect

    from actionqueues.testing import SweepOptions, sweep

    assert list(SweepOptions.__annotations__) == list(inspect.signature(sweep).parameters)[1:]


@subtests
def test_pytest_says_what_the_readme_shows(shop: pytest.Pytester, here: Here) -> None:
    section = (CHECKOUT / "README.md").read_text("utf-8").partition("## Prove your rollbacks\n")[2]
    program, _, shown = section.partition("```console\n")
    [functions, test] = [block.partition("```")[0] for block in program.split("```python\n")[1:]]
    shop.makepyfile(test_sign_up=functions.partition("\nfor outcome in ")[0] + "\n" + test)
    said = iter([line.rstrip() for line in here("test_sign_up.py", "--color=no").stdout.lines])
    for line in filter(None, shown.partition("```")[0].splitlines()):
        assert line in said  # and after those before it
