"""Any signature, any call, any handler: binding is the interpreter's, and `inspect.signature(fn).bind(...)`'s."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actionqueues import action, current_step, transaction

# What the library's own code calls its variables, what it offers to handlers, and names from ordinary code.
NAMES = (
    *("log", "record", "own", "result", "error", "step", "cause", "self", "cls", "body", "definition", "current"),
    *(
        "outside",
        "k0",
        "k1",
        "p0",
        "p1",
        "v",
        "w",
        "args",
        "kwargs",
        "make",
        "call",
        "thread",
        "threads",
        "clock",
        "PENDING",
    ),
    *(
        "handler",
        "started",
        "fn",
        "undo",
        "action",
        "proxy",
        "_self",
        "naïve",
        "名前",
        "len",
        "TypeError",
        "BaseException",
    ),
)
OFFERED = ("result", "error", "step", "cause")


@dataclass(frozen=True)
class Signature:
    """The parameters of a function, by kind; the last `defaults` positional ones have defaults."""

    only: tuple[str, ...] = ()
    both: tuple[str, ...] = ()
    defaults: int = 0
    rest: str | None = None
    keyword: tuple[tuple[str, bool], ...] = ()
    more: str | None = None

    @property
    def positional(self) -> tuple[str, ...]:
        return (*self.only, *self.both)

    @property
    def named(self) -> tuple[str, ...]:
        return (*self.positional, *(name for name, _ in self.keyword))

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.named, *(name for name in (self.rest, self.more) if name is not None))

    @property
    def optional(self) -> set[str]:
        first = len(self.positional) - self.defaults
        return {*self.positional[first:], *(name for name, default in self.keyword if default)}

    def __str__(self) -> str:
        parts = [f"{name}='default of {name}'" if name in self.optional else name for name in self.positional]
        if self.only:
            parts.insert(len(self.only), "/")
        if self.rest is not None:
            parts.append(f"*{self.rest}")
        elif self.keyword:
            parts.append("*")
        parts += [f"{name}='default of {name}'" if default else name for name, default in self.keyword]
        if self.more is not None:
            parts.append(f"**{self.more}")
        return ", ".join(parts)

    def function(self, name: str, tell: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
        """A function with these parameters that tells their values, under its own names for everything else."""
        told = ", ".join(f"{name!r}: {name}" for name in self.names)
        namespace: dict[str, Any] = {"__tell__": tell}
        exec(f"def {name}({self}):\n    return __tell__({{{told}}})", namespace)
        function: Callable[..., Any] = namespace[name]
        return function


@st.composite
def signatures(draw: st.DrawFn, names: tuple[str, ...] = NAMES, required: frozenset[str] = frozenset()) -> Signature:
    """Any signature; only `required`, if there are any, may be without default."""
    drawn = draw(st.lists(st.sampled_from(names), unique=True, max_size=7))
    if required:
        drawn.sort(key=lambda name: name not in required)  # positional ones without a default come first
    cuts = sorted(draw(st.tuples(*[st.integers(0, len(drawn))] * 2)))
    positional, keyword = drawn[: cuts[1]], drawn[cuts[1] :]
    rest, more = (
        draw(st.none() | st.sampled_from(sorted(set(NAMES) - set(drawn)))),
        draw(st.none() | st.sampled_from(sorted(set(NAMES) - set(drawn)))),
    )
    needed = sum(name not in required for name in positional) if required else 0
    return Signature(
        only=tuple(positional[: cuts[0]]),
        both=tuple(positional[cuts[0] :]),
        defaults=draw(st.integers(needed, len(positional))),
        rest=rest,
        keyword=tuple((name, draw(st.booleans()) or bool(required and name not in required)) for name in keyword),
        more=None if more == rest else more,
    )


@dataclass(frozen=True)
class Case:
    signature: Signature
    args: tuple[int, ...]
    kwargs: dict[str, int]
    handler: Signature
    fails: bool = False
    queued: bool = False


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An action, a call that mostly fits, and a handler that asks for what can be supplied."""
    of = draw(signatures())
    by_position = draw(st.integers(0, len(of.positional)))
    args = [10 + place for place in range(by_position)]
    kwargs = {name: 20 + place for place, name in enumerate(of.named) if place >= by_position and name not in of.only}
    for name in draw(st.sets(st.sampled_from(of.named))) if of.named else ():
        if name in of.optional or draw(st.integers(0, 9)) == 0:
            kwargs.pop(name, None)
    if (of.rest is not None and by_position == len(of.positional)) or draw(st.integers(0, 9)) == 0:
        args += [50] * draw(st.integers(0, 2))
    if of.more is not None or draw(st.integers(0, 9)) == 0:
        kwargs |= {name: 60 for name in draw(st.sets(st.sampled_from(NAMES), max_size=2)) if name not in kwargs}
    suppliable = tuple(dict.fromkeys((*of.names, *OFFERED)))
    asked = draw(signatures((*suppliable, "other"), frozenset(suppliable)))
    return Case(of, tuple(args), kwargs, asked, draw(st.booleans()), draw(st.booleans()))


@dataclass(frozen=True)
class Bound:
    """What a call binds: the values of all parameters by name, defaults included."""

    of: Signature
    arguments: dict[str, Any]

    @property
    def args(self) -> tuple[Any, ...]:
        rest = self.arguments[self.of.rest] if self.of.rest is not None else ()
        return (*(self.arguments[name] for name in self.of.positional), *rest)

    @property
    def kwargs(self) -> dict[str, Any]:
        more: dict[str, Any] = self.arguments[self.of.more] if self.of.more is not None else {}
        return {**{name: self.arguments[name] for name, _ in self.of.keyword}, **more}


def expected_call(
    handler: Signature, bound: Bound, result: object, error: object, cause: object
) -> dict[str, Any] | None:
    """What the handler must be given by the names of its parameters; None if it must not be called."""
    of = bound.of
    values: dict[str, Any] = {name: f"default of {name}" for name in handler.optional}
    for name in handler.named:
        if name in bound.arguments:
            values[name] = bound.arguments[name]
        elif name == "result" and result is None:
            if name not in handler.optional:
                return None
        elif name in OFFERED:
            values[name] = {"result": result, "error": error, "step": "the step", "cause": cause}[name]
    if handler.rest is not None:
        own = [value for name, value in zip(of.positional, bound.args, strict=False) if name not in handler.named]
        values[handler.rest] = (*own, *bound.args[len(of.positional) :])
    if handler.more is not None:
        by_name = (*handler.both, *(name for name, _ in handler.keyword))  # nothing else can be given twice
        keyword = {name for name, _ in of.keyword}
        values[handler.more] = {
            name: value
            for name, value in bound.kwargs.items()
            if name not in (handler.named if name in keyword else by_name)
        }
    return values


@settings(deadline=None, max_examples=200)
@given(cases())
@example(Case(Signature(both=("args", "kwargs")), (1, 2), {}, Signature(rest="args", more="kwargs")))
@example(Case(Signature(more="w"), (), {"args": 1, "kwargs": 2}, Signature(rest="args", more="kwargs")))
@example(Case(Signature(only=("p0",), more="w"), (1,), {"p0": 2}, Signature(only=("p0",), more="w")))
@example(Case(Signature(keyword=(("k1", False), ("k0", False))), (), {"k0": 1, "k1": 2}, Signature(both=("k0", "k1"))))
@example(Case(Signature(keyword=(("k1", False),)), (), {"k1": 1}, Signature(keyword=(("k1", False), ("result", True)))))
@example(Case(Signature(both=OFFERED), (1, 2, 3, 4), {}, Signature(both=OFFERED)))
@example(Case(Signature(), (), {}, Signature(both=("result",), defaults=1), fails=True))
@example(Case(Signature(), (), {}, Signature(both=("result",)), fails=True))
@example(
    Case(Signature(both=("self", "fn", "action")), (), {"self": 1, "fn": 2, "action": 3}, Signature(), queued=True)
)
def test_any_call_of_any_signature_is_bound_as_inspect_binds_it_and_any_handler_is_given_its_values(case: Case) -> None:
    told: list[dict[str, Any]] = []
    undone: list[dict[str, Any]] = []
    steps: list[Any] = []
    boom = ZeroDivisionError()

    def tell(values: dict[str, Any]) -> str:
        told.append(values)
        steps.append(current_step())
        if case.fails:
            raise boom
        return "the result"

    function = case.signature.function("fn", tell)
    decorated: action[..., Any] = action(function)
    decorated.rollback(case.handler.function("undo", undone.append))
    assert inspect.signature(decorated) == inspect.signature(function)

    try:
        plain = case.signature.function("fn", lambda values: values)(*case.args, **case.kwargs)
    except TypeError as error:
        with transaction() as q:
            with pytest.raises(TypeError, match=f"^{re.escape(str(error))}$"):
                (q.add if case.queued else call)(decorated, *case.args, **case.kwargs)
            assert repr(q) == "<Transaction 'transaction' open, 0 steps>"
        assert told == []
        return
    bound = Bound(case.signature, plain)
    if not set(case.kwargs) & set(case.signature.only):  # which `inspect` gets wrong
        inspected = inspect.signature(function).bind(*case.args, **case.kwargs)
        inspected.apply_defaults()
        assert (inspected.args, inspected.kwargs, inspected.arguments) == (bound.args, bound.kwargs, bound.arguments)

    with pytest.raises(ZeroDivisionError) as caught, transaction() as q:
        (q.add if case.queued else call)(decorated, *case.args, **case.kwargs)
        q.execute()
        raise boom
    assert caught.value is boom
    assert told == [bound.arguments]
    (step,) = steps
    assert (step.args, step.kwargs) == (bound.args, bound.kwargs)
    assert step.arguments == bound.arguments

    outcome = (None, boom) if case.fails else ("the result", None)
    returned, raised = outcome
    values = expected_call(case.handler, bound, returned, raised, boom)
    if values is None:
        assert undone == []
        assert q.report.skipped == [step]
    else:
        assert undone == [{name: step if value == "the step" else value for name, value in values.items()}]
        assert step.state == "undone"


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


LOST_NAMES = "; or is the action made by a decorator that lacks functools.wraps, which shows the parameters?"


@settings(deadline=None, max_examples=100)
@given(signatures(), signatures())
def test_a_handler_is_accepted_exactly_if_all_it_requires_can_be_supplied(of: Signature, handler: Signature) -> None:
    decorated: action[..., Any] = action(of.function("fn", dict))
    undo = handler.function("undo", dict)
    unknown = [name for name in handler.named if name not in (*of.names, *OFFERED) and name not in handler.optional]
    if not unknown:
        assert decorated.rollback(undo) is undo
        return
    with pytest.raises(TypeError) as caught:
        decorated.rollback(undo)
    offered = list(dict.fromkeys([*of.named, *of.names, *OFFERED]))
    wanted = " and ".join(map(repr, unknown))
    assert str(caught.value) == (
        f"the rollback handler undo of fn asks for {wanted}, which cannot be supplied; name a parameter "
        f"{', '.join(map(repr, offered[:-1]))} or {offered[-1]!r}, or give it a default"
        + (LOST_NAMES if not of.named and of.rest is not None and of.more is not None else "")
    )
    assert repr(decorated).endswith("no rollback handler>")
