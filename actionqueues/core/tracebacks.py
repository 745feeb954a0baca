"""What a traceback shows of this package: one frame between the user's call and their function, where that can be.

What a function has raised goes up to its caller through frames of ours, or as a value that is raised once more.  The
traceback keeps the outermost of these frames alone, which has the name of the step.  Nothing of the user's is cut.

Modules whose frames are seen so have ``__tracebackhide__``, which pytest looks for, as generated frames have it.

Stands on generated frames, for the names of their files.  Used by all that calls the user's code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Never

from .frames import OURS

_ended: Any = (each for each in "")
next(_ended, None)

#: Raises an exception with no frame of its own and with the context that it has: no `raise` does.  A generator that has
#: ended gives back what is thrown into it.
throw: Final[Callable[[BaseException], Never]] = _ended.throw


def giving(result: Any, error: BaseException | None) -> Callable[[], Any]:
    """What returns the result, or raises the error if there is one: whoever calls it is the one frame of ours then."""
    if error is None:
        return [result].pop  # written in C, and so without a frame
    from_theirs(error)
    return partial(throw, error)


def from_theirs(error: BaseException) -> None:
    """Let a traceback begin with the user's function, and not with the frames of ours that have called it."""
    link = _theirs(error.__traceback__)
    if link is not None:
        BaseException.with_traceback(error, link)


def shorten(error: BaseException) -> None:
    """Let a traceback go on, behind the frame that has just caught the error, with the user's function."""
    first = error.__traceback__
    link = _theirs(first)
    if first is not None and link is not None and link is not first:
        first.tb_next = link


def _theirs(link: TracebackType | None) -> TracebackType | None:
    """The part that begins with the first frame that is not of this package; None if there is none."""
    while link is not None and link.tb_frame.f_code.co_filename.startswith(OURS):
        link = link.tb_next
    return link
