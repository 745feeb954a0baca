"""An interrupt at any call leaves no lock held, on any version of the interpreter."""

import signal
import sys
import threading
from types import FrameType

import pytest

from actionqueues.journal import locks
from actionqueues.journal.locks import Lock


class Interrupting:
    """Raises at the n-th point where the interpreter looks for signals: as a function begins, or one in C ends."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.points = 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event not in ("call", "c_return") or frame.f_globals["__name__"] not in (__name__, locks.__name__):
            return
        self.points += 1
        if self.points == self.at:
            sys.setprofile(None)
            raise KeyboardInterrupt


def is_free(lock: Lock) -> bool:
    """Whether another thread gets it."""
    got: list[bool] = []

    def ask() -> None:
        got.append(lock._lock.acquire(blocking=False))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return got == [True]


def work(lock: Lock) -> None:
    with lock:
        len("work")


def test_an_interrupt_at_any_call_leaves_it_free() -> None:
    point = 1
    while True:
        lock, interrupting = Lock(), Interrupting(point)
        sys.setprofile(interrupting)
        try:
            work(lock)
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        assert is_free(lock), f"held after point {point}"
        if interrupting.points < point:
            break
        point += 1
    assert point > 4


def test_an_interrupt_while_it_waits_for_another_thread_takes_nothing_away_from_that() -> None:
    lock, got, done = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            got.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            done.wait()

    thread = threading.Thread(target=hold)
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        got.wait()
        with lock:
            raise AssertionError
    assert not is_free(lock)
    done.set()
    thread.join()
    assert is_free(lock)


def test_the_same_thread_does_not_wait_for_itself() -> None:
    lock = Lock()
    with lock, lock:
        assert not is_free(lock)
    assert is_free(lock)


def test_it_is_taken_at_once_unless_another_thread_has_it() -> None:
    lock = Lock()
    lock.give_back()  # which it has not
    assert lock.taken_at_once()
    assert not is_free(lock)
    lock.give_back()
    assert is_free(lock), "and from now on that thread has it"


def test_one_that_another_thread_has_is_not_taken_at_once() -> None:
    lock, got, done = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            got.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    got.wait()
    assert not lock.taken_at_once()
    lock.give_back()
    assert not lock.taken_at_once()
    done.set()
    thread.join()
    assert lock.taken_at_once()
