"""Every code block of the README and of the recipes is run, and what it prints is what they say."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ENGINES, EXAMPLES, JOURNALS, README, ROOT, VIEWS, blocks, programs, ran

DOCUMENTS = (README, EXAMPLES, VIEWS, JOURNALS, ENGINES)
SECTIONS = [(document, section) for document in DOCUMENTS for section in programs(document)]

#: What sets up the whole process: each is run in one of its own.
ALONE = {"Logs", "structlog", "Sentry", "OpenTelemetry", "Prometheus"}
RUN = "from tests.documents import VIEWS, ran\nimport sys\nwith ran(VIEWS, sys.argv[1]): pass"


@pytest.mark.parametrize(("document", "section"), SECTIONS, ids=[section for _, section in SECTIONS])
def test_the_programs_of_a_section_run_and_print_what_is_shown(document: Path, section: str) -> None:
    if section == "FastAPI":
        pytest.importorskip("fastapi", reason="what it stands on is not built for this Python yet")
    if section == "Celery":
        pytest.importorskip("celery", reason="celery is not installed; it is in the extra 'frameworks'")
    if section == "Time limits" and not hasattr(signal, "SIGALRM"):
        pytest.skip("this system has no SIGALRM")
    if document == VIEWS and section in ALONE:
        run = subprocess.run([sys.executable, "-c", RUN, section], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    else:
        with ran(document, section):
            pass


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "examples", "views", "journals", "engines"])
def test_every_block_is_of_a_kind_that_is_tested(document: Path) -> None:
    kinds = {"console", "python", "text", "sh"}
    kinds |= {"txt"} if document == VIEWS else set()  # see `views/test_page.py`
    kinds |= {"py"} if document == ENGINES else set()  # see below
    kinds |= {"txt", "ini", "yaml"} if document == JOURNALS else set()  # see `journal/test_operating_page.py`
    assert {block.language for block in blocks(document)} <= kinds


def test_what_the_page_of_engines_shows_is_in_programs_that_are_run() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "examples" / "engines").glob("*.py")]
    shown = [block.text for block in blocks(ENGINES) if block.language == "py"]
    assert shown
    assert [text for text in shown if not any(text in source for source in sources)] == []


def test_the_commands_are_the_ones_that_ci_runs() -> None:
    commands = [
        block.text.strip() for block in blocks(README) if block.language == "sh" and "\n" not in block.text.strip()
    ]
    assert commands[:3] == [
        "pip install actionqueues",
        "python -m pip install . && python examples/signup.py",
        "python -m pip install '.[test]' && python -m pytest",
    ]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "readme_command 'pytest'" in script
    assert "readme_command 'examples/signup.py'" in script


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "examples", "views", "journals", "engines"])
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        there = document.parent / file if file else document
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target
