"""An action in a class is what its function would be there, bound or not, and looks so to all who look at it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pydoc
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import create_autospec

import pytest
import wrapt

from actionqueues import action, transaction
from actionqueues.testing import stubbed

F = TypeVar("F")
PLAIN: Any = vars(pydoc)["plaintext"]


class Client:
    def put(self, *args: object) -> tuple[object, ...]:
        return args


class Callee:
    def __call__(self, *args: object) -> tuple[object, ...]:
        return args


def mark(function: F) -> F:
    """Decorate as `cherrypy.expose` does."""
    thing: Any = function
    thing.exposed = True
    return function


@wrapt.decorator
def told(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    result = wrapped(*args, **kwargs)
    return type(instance).__name__, result


def second(_self: object, n: int) -> int:
    return n


KINDS: dict[str, Any] = {
    "function": second,
    "bound method": Client().put,
    "built-in function": divmod,
    "callable object": Callee(),
    "cached function": functools.cache(second),
    "decorated with wrapt": told(second),
    "class": None,
}
if sys.version_info < (3, 13):  # there it warns that it will be bound later
    KINDS["partial"] = functools.partial(Client().put, 0)


@pytest.fixture(params=[kind for kind, each in KINDS.items() if each is not None])
def function(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except TypeError as error:
        return type(error)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_it_binds_exactly_if_the_function_itself_would(function: Any, inside: bool) -> None:
    class Plain:
        it = function

    class Shop:
        it: Any = action(function)

    Plain.__name__ = "Shop"  # which `told` tells
    plain, shop = Plain(), Shop()
    calls: list[Callable[[Any, Any], object]] = [
        lambda thing, _cls: thing.it(3),
        lambda thing, _cls: thing.it(7, 2),
        lambda thing, _cls: thing.it(),
        lambda thing, cls: cls.it(thing, 3),
        lambda _thing, cls: cls.it(),
        lambda _thing, cls: cls.it(7, 2),
    ]
    for call in calls:
        wanted = outcome(functools.partial(call, plain, Plain))
        with transaction() if inside else nullcontext():
            found = outcome(functools.partial(call, shop, Shop))
        assert repr(found).replace(repr(shop), "it") == repr(wanted).replace(repr(plain), "it")


def test_what_is_queued_is_bound_likewise() -> None:
    class Shop:
        put: Any = action(Client().put)
        told: Any = action(told(second))

    with transaction() as q:
        steps = [q.add(Shop().put, 1), q.add(Shop().told, 2), q.add(Shop.told, Shop(), 3)]
        q.execute()
        assert [step.result for step in steps] == [(1,), ("Shop", 2), ("Shop", 3)]


def test_a_decorator_of_wrapt_below_it_is_given_the_object_of_an_async_method_too() -> None:
    @wrapt.decorator
    async def told_async(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return type(instance).__name__, await wrapped(*args, **kwargs)

    class Shop:
        @action
        @told_async
        async def buy(self, n: int) -> int:
            return n

        @action(timeout=10)
        @told_async
        async def sell(self, n: int) -> int:
            return n

    async def main() -> None:
        shop: Any = Shop()
        assert await shop.buy(1) == ("Shop", 1)
        async with transaction():
            assert await shop.buy(1) == await shop.sell(1) == ("Shop", 1)

    asyncio.run(main())


@pytest.mark.parametrize("through", ["object", "class"])
def test_a_decorator_of_wrapt_under_a_static_or_class_method_is_called_as_it_would_be(through: str) -> None:
    def rate(n: int) -> int:
        return n

    made: Any = told(rate)
    plain: Any = type("Plain", (), {"tax": staticmethod(made)})
    shop: Any = type("Shop", (), {"tax": action(staticmethod(made))})
    if through == "object":
        plain, shop = plain(), shop()
    assert shop.tax(3) == plain.tax(3) == ("NoneType", 3)


def test_what_wants_to_know_its_name_in_the_class_is_told() -> None:
    class Named:
        name = ""

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = f"{owner.__name__}.{name}"

        def __call__(self) -> str:
            return self.name

    class Shop:
        it = action(Named())

    assert Shop.it() == "Shop.it"


def test_an_action_in_two_classes_is_a_method_of_both() -> None:
    both: Any = action(told(second))

    class One:
        it = both

    class Other:
        that = both

    with transaction():
        assert [One().it(1), Other().that(2), One().it(3)] == [("One", 1), ("Other", 2), ("One", 3)]


@pytest.mark.parametrize("kind", [functools.partialmethod, functools.singledispatchmethod, property])
def test_what_makes_methods_of_a_function_goes_above_it(kind: Any) -> None:
    make: Any = action
    with pytest.raises(TypeError, match="; put the decorator below that$"):
        make(kind(second, *[3] * (kind is functools.partialmethod)))

    class Till:
        pay: Any = functools.partialmethod(make(second), 3)
        take: Any = functools.singledispatchmethod(make(second))

    with transaction() as q:
        assert (Till().pay(), Till().take(4)) == (3, 4)
    assert q.state == "committed"


# -- attributes


class Shop:
    """A shop."""

    @mark
    @action
    def buy(self, n: int) -> int:
        """Buy it."""
        return n

    @mark
    @action
    async def abuy(self, n: int) -> int:
        """Buy it, slowly."""
        return n

    @mark
    @action
    @classmethod
    def open(cls, n: int) -> int:
        """Open it."""
        return n

    @mark
    @action
    @staticmethod
    def tax(n: int) -> int:
        """Tax it."""
        return n


class Plain:
    """A shop."""

    @mark
    def buy(self, n: int) -> int:
        """Buy it."""
        return n

    @mark
    async def abuy(self, n: int) -> int:
        """Buy it, slowly."""
        return n

    @classmethod
    @mark
    def open(cls, n: int) -> int:
        """Open it."""
        return n

    @staticmethod
    @mark
    def tax(n: int) -> int:
        """Tax it."""
        return n


NAMES = ["buy", "abuy", "open", "tax"]


@pytest.mark.parametrize("thing", [Shop, Shop()], ids=["class", "object"])
@pytest.mark.parametrize("name", NAMES)
def test_an_attribute_that_was_set_on_an_action_is_on_what_the_class_gives(name: str, thing: Any) -> None:
    method = getattr(thing, name)
    assert method.exposed is True
    assert "exposed" in dir(method)
    assert vars(Shop)[name].exposed is True


def test_it_can_be_deleted_and_is_gone_everywhere() -> None:
    kinds: list[Callable[[Any], Any]] = [lambda function: function, classmethod, staticmethod]
    for kind in kinds:

        def function(*_: object) -> None: ...

        buy: Any = function
        made: Any = action(kind(buy))
        cls: Any = type("Late", (), {"buy": made})
        made.tag = 1
        made.tag = 2
        assert [each.tag for each in (made, cls.buy, cls().buy, buy)] == [2] * 4
        del made.tag
        assert not any(hasattr(each, "tag") for each in (made, cls.buy, cls().buy, buy))
        with pytest.raises(AttributeError):
            del made.tag


def test_a_docstring_can_be_deleted_too() -> None:
    class Till:
        @action
        def pay(self) -> None:
            """Pay."""

    pay: Any = Till.pay
    del pay.__doc__
    assert Till.pay.__doc__ is Till().pay.__doc__ is None


def test_what_a_frame_is_made_of_is_set_on_the_function_alone() -> None:
    @action
    def buy(n: int = 1) -> int:
        return n

    buy.__defaults__ = (2,)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert buy.__wrapped__() == 2
    assert buy() == 1


@pytest.mark.parametrize("find", [lambda: Shop.open, lambda: Shop().open, lambda: vars(Shop)["open"]])
def test_whatever_a_class_gives_can_be_stubbed(find: Callable[[], Any]) -> None:
    with stubbed(find(), result=7) as made:
        assert Shop.open(3) == 7
    assert [step.args for step in made] == [(Shop, 3)]


# -- who looks at a class


def kinds(cls: type) -> dict[str, str]:
    return {each.name: each.kind for each in inspect.classify_class_attrs(cls) if each.name in NAMES}


def test_inspect_classifies_it_as_what_it_is() -> None:
    assert kinds(Shop) == kinds(Plain)
    assert isinstance(vars(Shop)["open"], classmethod)
    assert isinstance(vars(Shop)["tax"], staticmethod)
    assert all(isinstance(vars(Shop)[name], action) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("args", [(), (1,), (1, 2), (1, 2, 3)])
def test_an_autospec_of_a_class_takes_what_the_methods_take(name: str, args: tuple[int, ...]) -> None:
    def call(cls: type, through: str) -> object:
        spec = create_autospec(cls)
        result = outcome(lambda: getattr(spec if through == "class" else spec(), name)(*args))
        if inspect.iscoroutine(result):
            result.close()
        return result if result is TypeError else None

    for through in ("class", "object"):
        assert call(Shop, through) is call(Plain, through)


def helped(cls: type) -> str:
    return pydoc.render_doc(cls, renderer=PLAIN)


def test_help_shows_it_as_what_it_is() -> None:
    assert helped(Shop) == helped(Plain).replace("Plain", "Shop")


# -- help and IPython


def test_help_names_the_undo() -> None:
    @action
    def create(name: str) -> None:
        """Create it.

        At once.
        """

    assert inspect.getdoc(create) == "Create it.\n\nAt once."

    @create.rollback
    def delete(name: str) -> None: ...

    assert inspect.getdoc(create) == "Create it.\n\nAt once.\n\nUndone by delete."
    assert "Undone by delete." in pydoc.render_doc(create, renderer=PLAIN)
    create.__doc__ = "Make it."
    assert create.__doc__ == "Make it.\n\nUndone by delete."


def test_so_it_does_of_a_method() -> None:
    class Till:
        @action
        def pay(self) -> None:
            """Pay."""

        @pay.rollback
        def unpay(self) -> None: ...

    assert Till().pay.__doc__ == Till.pay.__doc__ == "Pay.\n\nUndone by Till.unpay."
    assert Till.unpay.__doc__ is None


def test_an_action_that_overrides_one_inherits_its_docstring_and_not_how_that_is_undone() -> None:
    class Till:
        @action
        def pay(self) -> None:
            """Pay."""

        @pay.rollback
        def unpay(self) -> None: ...

        @action
        @classmethod
        def close(cls) -> None:
            """Close."""

        @close.rollback
        def reopen(cls: Any) -> None: ...  # noqa: N805

    class Silent(Till):
        @action
        def pay(self) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]

        @action
        @classmethod
        def close(cls) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]

    class Undone(Silent):
        @action
        def pay(self) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]

        @pay.rollback
        def take_back(self) -> None: ...

    class Told(Till):
        @action
        def pay(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
            """Pay at once."""

    class Sent(Till):
        pay: Any = action(Client().put)  # whose docstring nobody can set

    assert Sent.pay.__doc__ is Client().put.__doc__
    assert [inspect.getdoc(cls.pay) for cls in (Silent, Undone, Told)] == [
        "Pay.",
        "Pay.\n\nUndone by Undone.take_back.",
        "Pay at once.",
    ]
    assert inspect.getdoc(Silent().close) == "Close."
    assert inspect.getdoc(Till.pay) == "Pay.\n\nUndone by Till.unpay."


def test_help_says_that_there_is_nothing_to_undo_or_that_it_cannot_be_undone() -> None:
    assert action(irreversible=True)(second).__doc__ == "It cannot be undone."
    assert action(read_only=True)(second).__doc__ == "Nothing to undo: it is read-only."
    assert action(second).__doc__ is None


def test_ipython_shows_an_action_as_its_repr(capsys: pytest.CaptureFixture[str]) -> None:
    display: Any = Shop.buy
    display._ipython_display_()  # which IPython calls, and prints nothing itself
    assert capsys.readouterr().out == "<action Shop.buy(self, n), no rollback handler>\n"


# -- classes


def test_a_class_is_refused_with_the_way_out() -> None:
    made: Any = action
    with pytest.raises(TypeError) as caught:
        made(SimpleNamespace)
    assert str(caught.value) == (
        "@action takes a function, not the class SimpleNamespace, which isinstance(), except and pickle need as it is; "
        "make an action of a function that makes one, or of functools.partial(it)"
    )
    with transaction():
        assert action(functools.partial(SimpleNamespace))(a=1) == SimpleNamespace(a=1)


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="only there it warns")
def test_a_partial_warns_as_it_would_by_itself() -> None:
    class Late:
        put = action(functools.partial(Client().put, 0))

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert Late().put(1) == (0, 1)
    assert found[0].category is FutureWarning
