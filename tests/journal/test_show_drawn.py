"""``actionqueues show``: the timeline of a transaction as text, and its picture."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from actionqueues import cli, transaction

from . import actions


@pytest.fixture(autouse=True)
def rolled_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ValueError, match="card"), transaction("sign-up\x1b[2J", journal=path):
        actions.put("日本")
        actions.irreversible()
        raise ValueError("no such card")


def test_its_timeline_is_printed_as_wide_as_the_output(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(path), "1", "--text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(r"sign-up\x1b[2J rolled back")
    assert [line.split()[:2] for line in lines if line.strip()][-4:] == [
        ["rolling", "back"],
        ["!", "irreversible"],
        ["left:", "no"],
        ["↶", "put"],
    ]
    assert max(map(len, lines)) <= 80


def test_an_output_that_does_not_know_all_characters_has_ascii(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with out.open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert cli.main(["show", str(path), "1", "--text"]) == 0
        assert cli.main(["show", str(path), "1", "--svg", "-"]) == 0
    text, _, picture = out.read_text(encoding="ascii").partition("<svg")
    assert "+ put" in text
    assert ET.fromstring(f"<svg{picture}").tag.endswith("svg")
    assert "&#26085;" in picture


def test_tables_fit_into_a_terminal_that_does_not_know_all_characters(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "56")
    with transaction("日本" * 20, journal=path):
        actions.put("x")
    out = tmp_path / "out"
    with out.open("w", encoding="ascii") as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        assert cli.main(["list", str(path)]) == 0
    lines = out.read_text(encoding="ascii").splitlines()
    assert max(map(len, lines)) <= 56
    (row,) = (line for line in lines if r"\u65e5\u672c" in line)
    assert row.endswith(".")
    assert r"\u2026" not in row


def test_its_picture_is_written_into_a_file(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "picture.svg"
    out.write_text("an older one")
    assert cli.main(["show", str(path), "1", "--svg", str(out)]) == 0
    assert ET.parse(out).getroot().tag.endswith("svg")
    assert capsys.readouterr().out == ""
    assert cli.main(["show", str(path), "1", "--svg", str(tmp_path / "nowhere" / "picture.svg")]) == 2
    assert "nowhere" in capsys.readouterr().err
