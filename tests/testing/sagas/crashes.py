"""What the sagas that are killed share: a log beside what they do, and a recovery from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actionqueues.core.watch import SEAM, observed
from tests.testing.log import FileLog

from .saga import Saga


def recovering(
    log: FileLog,
    scenario: Callable[[], object],
    undo: Mapping[str, Callable[..., object]],
    state: Callable[[], object],
    hooks: Mapping[str, Callable[[], object]] | None = None,
    reset: Sequence[str] | None = None,
) -> Saga:
    """A saga that is watched by `log`, and recovered from it by these undos and hooks."""

    def watched() -> None:
        outer = SEAM.observe
        with observed(lambda block, before: log if outer is None else outer(block, log)):
            try:
                scenario()
            finally:
                log.forget()

    def recover() -> None:
        started, due = log.left()
        for name, arguments in started:
            undo[name](*arguments)
        for name in due:
            (hooks or {}).get(name, lambda: None)()
        log.forget()

    def remove() -> None:
        for name in reset or ():
            (log.path.parent / name).unlink(missing_ok=True)
        log.forget()

    options: dict[str, Any] = {"recover": recover, "ignore": ["log"]}
    if reset is not None:
        options["reset"] = remove
    return Saga(watched, state, options)
