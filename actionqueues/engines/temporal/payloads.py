"""How requests and outcomes travel: as JSON that stands in the history as it is, and no longer than a server takes.

Stands on temporalio.  Used by the engine, and by the activities.
"""

from __future__ import annotations

from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

__all__ = ["LONGEST", "packed", "unpacked"]

#: How many bytes a call, or what comes of it, may have.  A server refuses more than 2 MiB, and an undo is given both.
LONGEST: Final = 1_000_000


def packed(text: str) -> RawValue:
    """JSON as what Temporal keeps: as it is, so that operators can read it, and the order in dictionaries is kept."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=text.encode()))


def unpacked(value: RawValue) -> str:
    """The text again."""
    return value.payload.data.decode()
