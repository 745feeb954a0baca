"""Whose effects are left after a run that was not restored, and why: what the step and its undo look like tells.

Stands on what runs have recorded.  Used by diagnoses.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from actionqueues.core.states import StepState

from .bugs import HAPPENED, Bug, Finding, circumstances
from .differences import Change, concerns
from .faults import Fault, Trial
from .record import Run
from .steps import StepRecord

__all__ = ["argument_changed", "blame", "touches", "undo_touches"]


def touches(run: Run, record: StepRecord, path: Sequence[str]) -> bool:
    """Whether the body of a step changes what a path leads to, in this run or an earlier one."""
    return any(_concerns_in_any_run(path, each.path) for each in run.effects_of(record) or ())


def _concerns_in_any_run(one: Sequence[str], other: Sequence[str]) -> bool:
    return concerns(_without_keys(one), _without_keys(other))


def _without_keys(path: Sequence[str]) -> tuple[str, ...]:
    """A path without what is another name in each run: numbers, and keys."""
    return tuple(re.sub(r"[0-9a-f-]{8,}|\d+", "*", part) for part in path)


def blame(trial: Trial, run: Run, changes: Sequence[Change], target: StepRecord | None) -> Finding:
    """Whose effects are left, and why."""
    started = [
        record for record in run.records if (record.reached or record is target) and not _innocent(record, changes)
    ]
    if target not in started:
        target = None
    concerned = [record for record in started if any(touches(run, record, each.path) for each in changes)]
    culprit = target if target in concerned else (concerned[-1] if concerned else None)
    unready = trial.fault in (Fault.BEFORE, Fault.BEFORE_ALWAYS, Fault.CANCEL_BEFORE)
    undid = target is not None and (any(each.kind != "added" for each in changes) or undo_touches(run, target, changes))
    if target is not None and undid and unready and target.undo_calls and (culprit is None or culprit is target):
        if all(each.kind == "added" for each in changes):
            return _too_much(target, changes)
        return Finding(
            Bug.TOO_MUCH,
            target.name,
            f"{target.name}: {HAPPENED[trial.fault]}, but its undo took back what was there before; let the step save "
            "what it has done (`current_step().save`), and the undo look at that",
        )
    if culprit is None:
        culprit = next((each for each in run.records if undo_touches(run, each, changes)), None)
        if culprit is not None:
            return _too_much(culprit, changes)
    if culprit is None:  # not all effects are known, as where steps run at the same time
        unknown = [each for each in started if each.reached and run.effects_of(each) is None]
        culprit = next((each for each in unknown if each.definition.handler is None), target if unknown else None)
    if culprit is None:
        by_hand = ", ".join(dict.fromkeys(record.name for record in run.records if record.by_hand))
        if by_hand:
            recorded = f"no undo that q.on_rollback has recorded ({by_hand})"
            advice = f"and {recorded} has taken it back: give it what it needs as arguments"
        elif all(change.kind == "removed" for change in changes):
            advice = (
                "and no undo has: if a database has rolled back by itself, it took along what had not been committed "
                "before; commit that first"
            )
            return Finding(Bug.TAKEN_ALONG, "", f"no step has removed this, {advice}")
        else:
            advice = "so nothing undoes it; put it into an action with an undo, or record its undo by q.on_rollback"
        return Finding(Bug.OUTSIDE, "", f"no step has made this change: it was done outside any action, {advice}")
    return _why(trial, run, culprit, changes)


def _innocent(record: StepRecord, changes: Sequence[Change]) -> bool:
    """Whether it was looked at in this very run, and neither its body nor its undo has had to do with any of these."""
    looked = (not record.reached or record.effects is not None) and (
        not record.undo_calls or record.undo_effects is not None
    )
    did = [*(record.effects or ()), *(record.undo_effects or ()), *record.inner_effects]
    return looked and not any(concerns(change.path, each.path) for change in changes for each in did)


def undo_touches(run: Run, record: StepRecord, changes: Sequence[Change]) -> bool:
    """Whether its undo does any of these changes."""
    effects = record.undo_effects or run.known.undo_effects.get(record.place) or ()
    return any(_concerns_in_any_run(change.path, each.path) for change in changes for each in effects)


def _too_much(record: StepRecord, changes: Sequence[Change]) -> Finding:
    name = record.name
    if all(change.kind == "added" for change in changes):
        what = f"{name}: its undo has made something that was not there before: it is to take back, and nothing else"
    else:
        what = (
            f"{name}: its undo took back more than its body had done; something of before is gone or changed: let the "
            "step save what it has done (`current_step().save`), and the undo look at that"
        )
    return Finding(Bug.TOO_MUCH, name, what)


def _why(trial: Trial, run: Run, record: StepRecord, changes: Sequence[Change]) -> Finding:
    name, definition = record.name, record.definition
    handler = definition.handler
    happened = circumstances(trial, record)
    undo = "rollback" if handler is None or definition.is_object else handler.name
    if definition.irreversible:
        return Finding(
            Bug.IRREVERSIBLE,
            name,
            f"{name} cannot be undone, and {happened}; do it by q.on_commit; or do it last, and let ignore= name what "
            "it leaves",
        )
    if handler is None:
        return Finding(
            Bug.NO_UNDO, name, f"{name} has no undo; write one with @{name}.rollback, or do it by q.on_commit"
        )
    if record.settled is StepState.SKIPPED:
        return Finding(
            Bug.LOST_REPLY,
            name,
            f"{name}: {happened}, and nothing was undone: its handler needs `result`, which a lost reply does not "
            "have. Look it up by `step.key`, or give `result` a default.",
        )
    changed = record.changed_arguments
    if changed:
        return argument_changed(record, changed)
    if record.returned > 1:
        again = _saved_again(run, record, changes)
        if again:
            return Finding(
                Bug.REPEATED,
                name,
                f"{name}: {happened}; its undo {undo} restores what its own failed attempt wrote, which a later one "
                f'took for what was there before: keep that once, `if "{again}" not in step.saved: '
                f"step.save({again}=...)`",
            )
        return Finding(
            Bug.REPEATED,
            name,
            f"{name}: {happened}; each attempt had an effect of its own, and not all were undone: pass `step.key` on, "
            "so that a second attempt is known for one",
        )
    if _swallows(handler.function):
        return Finding(
            Bug.SWALLOWED,
            name,
            f"{name}: its undo {undo} has returned, and something is left; it swallows exceptions: let them "
            "out, so that a failed undo is reported",
        )
    if not record.undo_calls:
        advice = "a classic queue is rolled back by who has executed it: call its rollback() when execute() has raised"
        return Finding(Bug.INCOMPLETE, name, f"{name}: {happened}, and its undo was not called; {advice}")
    if any(change.kind == "removed" for change in changes):
        return _too_much(record, changes)
    if record.undone_as is not StepState.DONE and handler.asks_for("result"):
        return Finding(
            Bug.LOST_REPLY,
            name,
            f"{name}: {happened}, and its undo did nothing about that: without a `result`, let it look the effect up "
            "by `step.key`, or by what the step has saved",
        )
    return Finding(
        Bug.INCOMPLETE,
        name,
        f"{name}: {happened}; its undo {undo} has returned, and something is left: let it undo all that the body does, "
        "or let ignore= name what may differ",
    )


def argument_changed(record: StepRecord, names: Sequence[str], raised: str = "") -> Finding:
    """It was called with something that is something else by now."""
    text = raised or f"{record.name}: its undo was given something else"
    return Finding(
        Bug.MUTATED,
        record.name,
        f"{text}; {', '.join(names)} was changed after the call: give the step a copy, or let it save or return what "
        "the undo needs",
    )


def _saved_again(run: Run, record: StepRecord, changes: Sequence[Change]) -> str:
    """What a second attempt has put in the place of what the first had kept; empty if nothing."""
    undone = record.undo_effects or run.known.undo_effects.get(record.place) or ()
    # Its undo has changed nothing; or it changes just these values at other times, and not others of the same kind.
    same = record.undo_effects == [] or all(any(change.path == each.path for each in undone) for change in changes)
    return [*record.saved_again, "old"][0] if same else ""


def _swallows(function: Any) -> bool:
    """Whether the source of a handler has an ``except`` that raises nothing, or a ``suppress``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made at run time, or not of Python
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            return True
    return False
