"""What answers to every name, such as a mock or the proxy of a server, is called, and asked for nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock
from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from actionqueues import Action, ActionQueue, action, transaction
from actionqueues.journal import Journal, set_default_journal
from tests.world import Boom


def send_mail(to: str, text: str = "") -> None:
    raise AssertionError("it is replaced")


class Door:
    """Answers to every name, and tells which ones it was asked for."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def __call__(self, *args: object) -> object:
        return args

    def __getattr__(self, name: str) -> Door:
        self.asked.append(name)
        return Door(self.asked)


def send_parcel(parcel: str) -> None:
    """Sent by nobody."""


# -- mocks


@pytest.mark.parametrize("journal", [mock.Mock(), mock.Mock(spec=Journal)], ids=["plain", "spec"])
def test_a_mock_is_no_journal(journal: Any) -> None:
    for use in (lambda: transaction(journal=journal), lambda: set_default_journal(journal)):
        with pytest.raises(TypeError, match="takes a Journal or the path of one, not <Mock"):
            use()


def test_a_mock_in_place_of_a_function_is_called_with_the_arguments() -> None:
    with mock.patch(f"{__name__}.send_mail") as mail, transaction() as q:
        q.add(send_mail, "ada", text="hello")
        q.on_commit(send_mail, "bob")
        with pytest.raises(Boom), q.savepoint():
            q.on_rollback(send_mail, "eve")
            raise Boom
    assert mail.mock_calls == [mock.call("eve"), mock.call("ada", text="hello"), mock.call("bob")]


def test_so_it_is_in_a_classic_queue() -> None:
    mail = mock.MagicMock()
    queue = ActionQueue()
    queue.add(mail, "ada")
    queue.execute()
    queue.rollback()
    assert mail.mock_calls == [mock.call("ada")]


def test_a_mock_with_a_signature_refuses_arguments_that_do_not_fit_when_they_are_added() -> None:
    with mock.patch(f"{__name__}.send_mail", autospec=True) as mail, transaction() as q:
        with pytest.raises(TypeError, match="to"):
            q.add(send_mail)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        q.add(send_mail, "ada")
    mail.assert_called_once_with("ada")


def test_a_mock_of_a_plain_function_is_not_async_nor_lazy() -> None:
    with mock.patch(f"{__name__}.send_mail", spec=True) as mail, transaction() as q:
        q.add(send_mail, "ada")
        q.on_commit(send_mail, "bob")
    assert mail.call_args_list == [mock.call("ada"), mock.call("bob")]


def test_an_async_mock_is_async() -> None:
    mail = mock.AsyncMock(return_value=3)

    async def main() -> None:
        async with transaction() as q:
            step = q.add(mail, "ada")
            assert await action(mail)("bob") == 3
            await q.execute()
            assert step.result == 3

    asyncio.run(main())
    assert mail.await_args_list == [mock.call("bob"), mock.call("ada")]
    with transaction() as q, pytest.raises(TypeError, match="is async, and the transaction cannot await it"):
        q.add(mail, "ada")


async def fetch(name: str) -> str:
    raise AssertionError("it is replaced")


@pytest.mark.parametrize("options", [{}, {"spec": True}, {"autospec": True}], ids=["plain", "spec", "autospec"])
def test_a_mock_in_place_of_an_async_function_is_async_and_called_once(options: Any) -> None:
    async def main() -> None:
        with mock.patch(f"{__name__}.fetch", **options, return_value="b") as found:
            async with transaction() as q:
                step = q.add(fetch, "a")
                assert await action(fetch)("b") == "b"
                await q.execute()
                assert step.result == "b"
            assert [each for each in found.mock_calls if not each[0]] == [mock.call("b"), mock.call("a")]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [mock.Mock, mock.MagicMock])
def test_a_mock_can_be_an_action_and_what_it_returns_is_a_result_like_any_other(kind: Any) -> None:
    work, undo = kind(), mock.Mock()
    step = action(work)

    @step.rollback
    def unwork(result: object) -> None:
        undo(result)

    with pytest.raises(Boom), transaction():
        made = step("a", b=1)
        raise Boom
    assert work.mock_calls == [mock.call("a", b=1)]
    undo.assert_called_once_with(made)


@pytest.mark.parametrize(
    "work", [mock.Mock(spec=Action), mock.create_autospec(Action, instance=True), mock.NonCallableMock()]
)
def test_a_mock_that_stands_for_an_action_object_is_one(work: Any) -> None:
    with pytest.raises(Boom), transaction() as q:
        q.add(work)
        q.execute()
        raise Boom
    assert work.mock_calls == [mock.call.execute(), mock.call.rollback()]


def test_a_callable_is_an_action_object_if_its_class_has_both_methods_and_not_by_attributes() -> None:
    trail: list[str] = []

    class Both:
        def __call__(self) -> None:
            trail.append("called")

        def execute(self) -> None:
            trail.append("executed")

        def rollback(self) -> None: ...

    class Neither:
        def __init__(self) -> None:
            self.execute = self.rollback = lambda: trail.append("no")

        def __call__(self) -> None:
            trail.append("called")

    with transaction() as q:
        q.add(Both())
        q.add(Neither())
    assert trail == ["executed", "called"]


# -- what answers to every name


def test_nothing_is_asked_for_that_could_be_a_method_of_the_program() -> None:
    asked: list[str] = []
    with pytest.raises(Boom), transaction() as q:
        q.add(Door(asked), 1)
        q.on_rollback(Door(asked), 2)
        q.on_commit(Door(asked), 3)
        q.run(Door(asked), 4)
        action(Door(asked))(5)
        transaction(Door(asked))(6)
        q.execute()
        raise Boom
    assert [name for name in asked if not name.startswith("_")] == []


def test_what_it_gives_for_a_name_is_no_name() -> None:
    door = action(Door([]))
    assert repr(door) == "<action Door(*args), no rollback handler>"
    with transaction() as q:
        assert q.add(Door([])).name == "Door"


class Server:
    """A server on this machine that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[str, tuple[object, ...]]] = []
        self.server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True)
        kept: Any = self.keep
        self.server._dispatch = kept  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def keep(self, method: str, params: tuple[object, ...]) -> int:
        self.got.append((method, params))
        return len(self.got)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    with made.server:
        yield made
        made.server.shutdown()
        thread.join()


def test_the_methods_of_a_server_are_called_by_their_own_names(server: Server) -> None:
    with ServerProxy(server.url, allow_none=True) as proxy, transaction() as q:
        step = q.add(proxy.deliver, "parcel")
        q.execute()
        assert step.result == 1
        with pytest.raises(Boom), q.savepoint():
            q.on_rollback(proxy.take_back, "parcel")
            raise Boom
        q.on_commit(proxy.bill, 3)
        assert action(proxy.weigh)("parcel") == 3
    assert server.got == [
        ("deliver", ("parcel",)),
        ("take_back", ("parcel",)),
        ("weigh", ("parcel",)),
        ("bill", (3,)),
    ]


def test_so_they_are_in_a_classic_queue_and_in_a_block_of_their_own(server: Server) -> None:
    with ServerProxy(server.url, allow_none=True) as proxy:
        queue = ActionQueue()
        queue.add(proxy.deliver, "parcel")
        queue.execute()
        queue.rollback()
        assert transaction(proxy.weigh)("parcel") == 2
    assert server.got == [("deliver", ("parcel",)), ("weigh", ("parcel",))]


def test_a_method_of_a_server_in_a_class_is_given_its_arguments_alone(server: Server) -> None:
    with ServerProxy(server.url, allow_none=True) as proxy:

        class Shop:
            deliver: Any = action(proxy.deliver)

        with transaction() as q:
            Shop().deliver("a")
            Shop.deliver("b")
            q.add(Shop().deliver, "c")
    assert server.got == [("deliver", (each,)) for each in "abc"]


def test_a_method_of_a_server_as_a_handler_is_given_the_arguments_of_the_call(server: Server) -> None:
    with ServerProxy(server.url, allow_none=True) as proxy:
        deliver = action(send_parcel)
        deliver.rollback(proxy.take_back)
        with pytest.raises(Boom), transaction():
            deliver("a")
            raise Boom
    assert server.got == [("take_back", ("a",))]
