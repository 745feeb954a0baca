"""The page about views shows what they draw now."""

from __future__ import annotations

import pytest

from actionqueues.views.text import to_text
from tests.documents import VIEWS, blocks

from . import samples


@pytest.mark.parametrize("sample", ["live", "nested", "huge"])
def test_a_drawing_on_the_page_is_what_is_drawn(sample: str) -> None:
    data = samples.huge(10_000) if sample == "huge" else getattr(samples, sample)()
    drawings = [block.text for block in blocks(VIEWS) if block.language == "txt"]
    assert len(drawings) == 3
    assert f"{to_text(data)}\n" in drawings
