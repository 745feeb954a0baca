"""`transaction()`: what users call to open a block or to decorate a function with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast, overload

from .asyncshell import AsyncTransaction
from .definition import function_of
from .errors import NoTransaction
from .opened import OpenIntercepted, OpenTransaction
from .owner import get_current
from .retry import Policy, check_policy
from .shells import Transaction
from .signature import display_name
from .states import TransactionState
from .step import OWNER

if TYPE_CHECKING:
    from os import PathLike

    from .block import Block
    from .interceptor import Interceptor
    from .journal import Journal

__all__ = ["current_transaction", "transaction"]

F = TypeVar("F", bound=Callable[..., object])

_new, _NEW = object.__new__, TransactionState.NEW


class _Retried(Transaction):
    """What `transaction` returns if it is given a policy: only a function can be called again."""

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "transaction(retry=...) is for decorating a function, which can be called again; a block cannot: put "
            "its lines into a function, or give the policy to the actions"
        )

    async def __aenter__(self) -> NoReturn:
        self.__enter__()


@overload
def transaction(fn: F, /) -> F: ...
@overload
def transaction(
    name: str | None = None,
    *,
    independent: bool = False,
    outermost: bool = False,
    retry: Policy | None = None,
    journal: Journal | str | PathLike[str] | Literal[False] | None = None,
) -> Transaction: ...
def transaction(
    name: Any = None,
    *,
    independent: bool = False,
    outermost: bool = False,
    retry: Policy | None = None,
    journal: Any = None,
) -> Any:
    """A block of steps that are undone, in reverse order, if the block is left by an exception.

    As a block, ``with transaction("sign-up") as q:``.  Leaving it by any exception undoes every step that was started
    in it, and the exception goes on; leaving it normally runs the queued steps and commits.  A block inside a block is
    a savepoint: if it fails, its own steps are undone; if it succeeds, they belong to the outer one.

    As a decorator, ``@transaction`` or ``@transaction("sign-up", retry=Retry(...))`` over a function, sync or async,
    which opens a fresh block for each call.

    Args:
        name: what messages and reports call it.
        independent: share nothing with a block around it: what is done here stays if that one fails.
        outermost: refuse to be a savepoint.
        retry: for the decorator: when a call fails and everything has been undone, call again after this policy.
        journal: a `Journal`, or the path of one, that records every step before it runs, so that recovery can undo
            what a process has started that has died; False for none, whatever the default is.

    Raises:
        TypeError: for options that exclude each other, or `retry` without a function.
        NestedTransaction: on entering, if it is `outermost` and there is a block around it.
    """
    if name is not None and not isinstance(name, str):
        if independent or outermost or retry is not None or journal is not None:
            raise TypeError("transaction(): options go before the function: @transaction(retry=...) over the def")
        block = OpenTransaction() if Transaction._intercept is None else OpenIntercepted()
        block.name = display_name(function_of(name))
        return block(name)
    made: Transaction = _new(OpenTransaction)  # and not OpenTransaction(), which would cost a frame
    made._state = _NEW
    made._token = None
    made.plain = True
    if name is not None:
        made.name = name
    if independent:
        made._independent = True
    if outermost:
        if independent:
            raise TypeError("transaction(): independent=True and outermost=True exclude each other")
        made._outermost = True
    if journal is not None:
        made._intercept = _interceptors(journal)
        made.__class__ = OpenIntercepted
    if retry is not None:
        made._retry = check_policy(retry, "transaction(retry=...)")
        retried: Any = made
        retried.__class__ = _Retried
    return made


def _interceptors(journal: Any) -> Callable[[Block], Interceptor | None]:
    """What makes the interceptors of a journal."""
    if journal is False:
        return _none
    if not hasattr(journal, "intercept"):
        from .journal import shared_journal  # here, because most programs have none, and it imports sqlite3

        journal = shared_journal(journal)
    made: Callable[[Block], Interceptor | None] = journal.intercept
    return made


def _none(_block: Block) -> None:
    return None


def current_transaction() -> Transaction | AsyncTransaction:
    """The transaction that a step called here would belong to: the innermost open block.

    For code that has no ``q``, such as the body of a function decorated with ``@transaction``.

    Raises:
        NoTransaction: outside any block.
    """
    log = get_current()
    while log is not None and log[OWNER].forget():
        log = get_current()
    block: Any = None if log is None else log[OWNER].block
    if block is None:
        raise NoTransaction("current_transaction()")
    return cast("Transaction | AsyncTransaction", block)
