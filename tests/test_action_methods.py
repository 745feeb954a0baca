"""Methods as actions: every kind, either order of decorators, inheritance, overriding, and odd classes."""

# Overriding an action with another is what is tested here; pyright compares the descriptors, not what they give.
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import re
from typing import Any, TypeVar

import pytest

from actionqueues import action, transaction

T = TypeVar("T")


class Boom(Exception):
    """What the blocks of these tests are left by."""


def _under(method: Any) -> action[..., Any]:
    """The action under a `classmethod` or `staticmethod`, which have no `rollback` themselves."""
    return method.__func__  # type: ignore[no-any-return]  # typed as Any


class Shop:
    """Everything that happens is told to `trail`."""

    trail: list[tuple[object, ...]] = []  # noqa: RUF012 - shared by purpose

    @action
    def buy(self, n: int, note: str = "-") -> str:
        self.trail.append(("buy", type(self).__name__, n, note))
        return f"bought {n}"

    @buy.rollback
    def unbuy(self, n: int, note: str, result: str) -> None:
        self.trail.append(("unbuy", type(self).__name__, n, note, result))

    @action
    @classmethod
    def open(cls, n: int, note: str = "-") -> str:
        cls.trail.append(("open", cls.__name__, n, note))
        return f"opened {n}"

    @open.rollback  # noqa: A003 - `open` is a method here
    @classmethod
    def close(cls, n: int, note: str, result: str) -> None:
        cls.trail.append(("close", cls.__name__, n, note, result))

    @classmethod
    @action
    def open2(cls, n: int, note: str = "-") -> str:
        cls.trail.append(("open", cls.__name__, n, note))
        return f"opened {n}"

    @_under(open2).rollback
    @classmethod
    def close2(cls, n: int, note: str, result: str) -> None:
        cls.trail.append(("close", cls.__name__, n, note, result))

    @action
    @staticmethod
    def tax(n: int, note: str = "-") -> str:
        Shop.trail.append(("tax", n, note))
        return f"taxed {n}"

    @tax.rollback
    @staticmethod
    def untax(n: int, note: str, result: str) -> None:
        Shop.trail.append(("untax", n, note, result))

    @staticmethod
    @action
    def tax2(n: int, note: str = "-") -> str:
        Shop.trail.append(("tax", n, note))
        return f"taxed {n}"

    @_under(tax2).rollback
    @staticmethod
    def untax2(n: int, note: str, result: str) -> None:
        Shop.trail.append(("untax", n, note, result))


class Branch(Shop):
    """Inherits everything."""


@pytest.fixture(autouse=True)
def trail() -> list[tuple[object, ...]]:
    Shop.trail.clear()
    return Shop.trail


KINDS: dict[str, tuple[str, str, str]] = {
    "buy": ("buy", "unbuy", "bought 5"),
    "open": ("open", "close", "opened 5"),
    "open2": ("open", "close", "opened 5"),
    "tax": ("tax", "untax", "taxed 5"),
    "tax2": ("tax", "untax", "taxed 5"),
}


@pytest.mark.parametrize("cls", [Shop, Branch], ids=["own", "inherited"])
@pytest.mark.parametrize("through", ["object", "class"])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("queued", [False, True], ids=["called", "queued"])
def test_every_kind_of_method_is_a_step_and_undone_with_its_own_arguments(
    trail: list[tuple[object, ...]], name: str, through: str, cls: type[Shop], queued: bool
) -> None:
    did, undid, result = KINDS[name]
    shop = cls()
    method: Any = getattr(shop if through == "object" else cls, name)
    args = (shop, 5) if through == "class" and did == "buy" else (5,)
    with pytest.raises(Boom), transaction() as q:
        if queued:
            step = q.add(method, *args, note="x")
            q.execute()
            assert step.result == result
        else:
            assert method(*args, note="x") == result
        raise Boom
    who = () if did == "tax" else (cls.__name__,)
    assert trail == [(did, *who, 5, "x"), (undid, *who, 5, "x", result)]


@pytest.mark.parametrize("name", KINDS)
def test_outside_a_block_a_method_is_the_plain_method(trail: list[tuple[object, ...]], name: str) -> None:
    assert getattr(Shop(), name)(n=5) == KINDS[name][2]
    assert len(trail) == 1


@pytest.mark.parametrize("wrong", [(), (1, 2, 3, 4, 5)], ids=["missing", "extra"])
@pytest.mark.parametrize("through", ["object", "class"])
@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_call_of_a_method_raises_what_the_plain_method_would(name: str, through: str, wrong: Any) -> None:
    class Plain:
        def buy(self, n: int, note: str = "-") -> None: ...

        @classmethod
        def open(cls, n: int, note: str = "-") -> None: ...

        @staticmethod
        def tax(n: int, note: str = "-") -> None: ...

    target = Plain() if through == "object" else Plain
    with pytest.raises(TypeError) as expected:
        getattr(target, KINDS[name][0])(*wrong)
    message = str(expected.value).rpartition("<locals>.")[2].replace(f"Plain.{KINDS[name][0]}", f"Shop.{name}")
    assert message.startswith(f"Shop.{name}() ")
    with transaction() as q:
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            getattr(Shop() if through == "object" else Shop, name)(*wrong)
        assert repr(q) == "<Transaction 'transaction' open, 0 steps>"


# ---- overriding


def test_an_overridden_action_that_is_no_action_is_no_step(trail: list[tuple[object, ...]]) -> None:
    class Plain(Shop):
        def buy(self, n: int, note: str = "-") -> str:
            return "plain"

    with pytest.raises(Boom), transaction():
        assert Plain().buy(5) == "plain"
        raise Boom
    assert trail == []


def test_an_overridden_action_that_calls_super_makes_two_steps(trail: list[tuple[object, ...]]) -> None:
    class Careful(Shop):
        @action
        def buy(self, n: int, note: str = "-") -> str:
            self.trail.append(("check", n))
            return super().buy(n, note="super")

        @buy.rollback
        def uncheck(self, n: int) -> None:
            self.trail.append(("uncheck", n))

    with pytest.raises(Boom), transaction():
        assert Careful().buy(5) == "bought 5"
        raise Boom
    assert trail == [
        ("check", 5),
        ("buy", "Careful", 5, "super"),
        ("unbuy", "Careful", 5, "super", "bought 5"),
        ("uncheck", 5),
    ]


def test_class_methods_work_through_super(trail: list[tuple[object, ...]]) -> None:
    class Careful(Shop):
        @action
        @classmethod
        def open(cls, n: int, note: str = "-") -> str:
            return super().open(n, note="super")

    with pytest.raises(Boom), transaction():
        assert Careful.open(5) == "opened 5"
        raise Boom
    assert trail == [("open", "Careful", 5, "super"), ("close", "Careful", 5, "super", "opened 5")]


class Loud(Shop):
    """Overrides only the rollbacks, with other wishes."""

    # The handler may ask for others:
    def unbuy(self, n: int, *, error: object = "none") -> None:  # type: ignore[override]
        self.trail.append(("loud unbuy", n, error))

    @classmethod
    def close(cls, result: str) -> None:  # type: ignore[override]  # the handler may ask for others
        cls.trail.append(("loud close", cls.__name__, result))


class Louder(Loud):
    """Overrides one of them once more, and calls `super()`."""

    def unbuy(self, n: int) -> None:  # type: ignore[override]  # the handler may ask for others
        self.trail.append(("louder unbuy", n))
        super().unbuy(n)


@pytest.mark.parametrize("how", ["called", "through the class", "queued"])
def test_a_subclass_can_override_only_the_rollback_of_an_inherited_action(
    trail: list[tuple[object, ...]], how: str
) -> None:
    with pytest.raises(Boom), transaction() as q:
        for shop in (Shop(), Loud(), Louder()):
            if how == "called":
                shop.buy(5)
            elif how == "queued":
                q.add(shop.buy, 5)
            else:
                Shop.buy(shop, 5)
        q.execute()
        del trail[:]
        raise Boom
    assert trail == [
        ("louder unbuy", 5),
        ("loud unbuy", 5, "none"),
        ("loud unbuy", 5, None),
        ("unbuy", "Shop", 5, "-", "bought 5"),
    ]


def test_a_subclass_can_override_the_rollback_of_a_class_method(trail: list[tuple[object, ...]]) -> None:
    with pytest.raises(Boom), transaction():
        Loud.open(5)
        Shop.open(6)
        del trail[:]
        raise Boom
    assert trail == [("close", "Shop", 6, "-", "opened 6"), ("loud close", "Loud", "opened 5")]


def test_an_override_that_cannot_be_called_is_reported_and_the_rest_is_undone(trail: list[tuple[object, ...]]) -> None:
    class Broken(Shop):
        def unbuy(self, who: str) -> None:  # type: ignore[override]  # the handler may ask for others
            raise AssertionError("cannot be called")

    with pytest.raises(Boom) as caught, transaction() as q:
        Shop().buy(1)
        Broken().buy(2)
        del trail[:]
        raise Boom
    assert trail == [("unbuy", "Shop", 1, "-", "bought 1")]
    (failure,) = q.report.failures
    assert str(failure.error) == (
        "the rollback handler "
        "Broken.unbuy of Shop.buy asks for 'who', which cannot be supplied; name a parameter 'self', 'n', 'note', "
        "'result', 'error', 'step' or 'cause', or give it a default"
    )
    assert any("the undo of Shop.buy failed" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("what", [None, property(lambda _self: "text")], ids=["None", "property"])
def test_an_override_that_is_no_method_is_reported_by_its_name(what: Any, trail: list[tuple[object, ...]]) -> None:
    broken = type("Broken", (Shop,), {"unbuy": what})
    with pytest.raises(Boom), transaction() as q:
        broken().buy(1)
        raise Boom
    (failure,) = q.report.failures
    assert str(failure.error).startswith(f"Broken.unbuy undoes Shop.buy, so it must be a function, not {what!r}")
    assert trail == [("buy", "Broken", 1, "-")]


def test_a_second_rollback_in_the_same_class_is_an_error_that_names_the_first() -> None:
    with pytest.raises(TypeError) as caught:

        @Shop.buy.rollback
        def another(self: Shop) -> None:
            raise AssertionError("never called")

    assert str(caught.value) == (
        "Shop.buy already has a rollback handler, Shop.unbuy; an action has one: call several functions from it, or "
        "override it in a subclass, like any method"
    )


def test_a_handler_outside_the_class_is_not_overridden_by_a_method_of_its_name() -> None:
    undone: list[str] = []

    class Till:
        @action
        def pay(self) -> None: ...

    class Sub(Till):
        def unpay(self) -> None:
            raise AssertionError("no rollback handler")

    @Till.pay.rollback
    def unpay(self: Till) -> None:
        undone.append(type(self).__name__)

    with pytest.raises(Boom), transaction():
        Sub().pay()
        raise Boom
    assert undone == ["Sub"]
