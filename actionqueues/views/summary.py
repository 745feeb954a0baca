"""The one line that tells of a transaction: how it ended, why, and what is left.

Stands on the model.  Used by the other views, and wherever there is room for one line only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from .labels import clipped, counted, named, safe
from .model import SAVEPOINT, TOGETHER, Mark, Story, read

__all__ = ["summarised", "summary"]

#: As many names as it tells, and as much of a name and of an error.
_MOST: Final = 10
_NAME: Final = 60
_ERROR: Final = 200

#: Where these are the state, what has been done is of interest; otherwise, what has been undone.
_FORWARD: Final = ("open", "committed", "released", "add", "execute", "execute complete")

_FOUND: Final = {
    "done": (Mark.DONE, Mark.RETRIED),
    "failed": (Mark.FAILED,),
    "of unknown outcome": (Mark.UNKNOWN,),
    "running": (Mark.RUNNING,),
    "queued": (Mark.QUEUED,),
}


def summary(data: Mapping[str, Any], *, unicode: bool = True) -> str:
    """What `Report.as_dict()` gives, in one line: how it ended and why, how much was undone, what is left.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    return summarised(read(data, ascii_only=not unicode), data, unicode=unicode)


def summarised(story: Story, data: Mapping[str, Any], *, unicode: bool) -> str:
    """The same of one that has been read."""
    more, times = ("…", "\N{MULTIPLICATION SIGN}") if unicode else ("...", "x")

    def name(text: object) -> str:
        return clipped(named(safe(text, ascii_only=not unicode)), _NAME, more)

    def error(text: object) -> str:
        return f"({clipped(safe(text, ascii_only=not unicode), _ERROR, more)})"

    def names(found: Iterable[object]) -> str:
        texts = Counter(map(name, found))
        return _listed(
            [text if n == 1 else f"{text} {times}{counted(n)}" for text, n in texts.items()], len(texts), more
        )

    def failing(found: Sequence[Mapping[str, Any]], key: str, words: str) -> str:
        first = found[:_MOST]
        texts = [f"{words.format(name(each.get(key)))} {error(each.get('error'))}" for each in first]
        return _listed(texts, len(found), more)

    def told(kind: str) -> Any:
        return data.get(kind) or ()

    words = [story.reason if story.state == "stuck" else _cause(story, name, error)]
    words += _progress(story, but="failed" if words[0] else "") if story.state in _FORWARD else []
    on_the_way = "on the way, " if story.state in ("committed", "released") else ""
    undone = len(told("undone"))
    words.append(f"{on_the_way}{counted(undone)} undone" if undone else "")
    words.append(failing(told("failures"), "step", "undo of {} failed"))
    words.append(failing(told("conflicts"), "step", "conflict in {}"))
    if left := [name(each) for each in told("not_undone")]:
        reasons = {name(node.label): node.reason for node in story.back if node.mark is Mark.LEFT and node.reason}
        known = [f"{each} ({reasons[each]})" if each in reasons else each for each in left]
        words.append(f"{counted(len(left))} left: {names(known)}")
    for kind, label in (("skipped", "skipped"), ("abandoned", "abandoned"), ("dropped", "never started")):
        words += [f"{label}: {names(told(kind))}"] if told(kind) else []
    words.append(failing(told("hook_failures"), "hook", "commit hook {} failed"))
    not_run = [f"commit hook {name(hook)} not run" for hook in told("hooks_not_run")]
    words.append(_listed(not_run, len(not_run), more))
    words += [f"never awaited: {names(told('never_awaited'))}"] if told("never_awaited") else []
    words += [f"not recorded {error(text)}" for text in story.journal_failures[:1]]
    outcomes = ", ".join(filter(None, words))
    return f"{name(story.name or story.kind)} {story.state}".rstrip() + (f": {outcomes}" if outcomes else "")


def _cause(story: Story, name: Callable[[object], str], error: Callable[[object], str]) -> str:
    """The step that has failed, if it was one, and with what."""
    failed = [node for node in story.forward if node.mark is Mark.FAILED and node.error == story.error]
    if story.kind == "queue" and not story.error:
        failed = [node for node in story.forward if node.mark is Mark.FAILED and node.depth == 0]
    if failed:
        return f"{name(failed[-1].label)} failed {error(failed[-1].error)}"
    return f"after {error(story.error)[1:-1]}" if story.error else ""


def _progress(story: Story, but: str) -> list[str]:
    marks = Counter(node.mark for node in story.forward if node.kind not in (SAVEPOINT, TOGETHER))
    numbers = {word: sum(marks[mark] for mark in found) for word, found in _FOUND.items()}
    return [f"{counted(number)} {word}" for word, number in numbers.items() if number and word != but]


def _listed(texts: Sequence[str], number: int, more: str) -> str:
    """Their texts; of a greater number, the first ones, and how many there are more."""
    text = ", ".join(texts[:_MOST])
    return text if number <= _MOST else f"{text} {more} and {counted(number - _MOST)} more"
