"""The programs in the docstrings are run."""

from __future__ import annotations

import inspect
import re

import pytest

from actionqueues import agents


@pytest.mark.parametrize("name", ["explain", "tools"])
def test_the_program_in_a_docstring_runs(name: str) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(agents, name)) or "", re.DOTALL)
    exec(program, {"__name__": "program"})
