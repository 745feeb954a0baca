"""Which of very many nodes are shown, and what is told of the others."""

from __future__ import annotations

from typing import Any

from actionqueues.views.folding import Fold, folded
from actionqueues.views.model import Mark, Node, children_of, read
from actionqueues.views.text import to_text

from .samples import Entry, entry, report, savepoint


def shown(steps: list[Entry], **options: int) -> list[str]:
    """Names with their arguments, and of folds how often they hide which."""
    items = folded(read(report("t", "committed", steps)).forward, **options)
    return [f"{each.times} {','.join(each.labels)}" if isinstance(each, Fold) else each.label for each in items]


def lines(steps: list[Entry], **facts: Any) -> list[str]:
    return to_text(report("t", "committed", steps, **facts)).split("\n")[2:]


def test_a_few_of_a_name_are_shown() -> None:
    assert shown([entry("a") for _ in range(12)]) == ["a"] * 12
    assert shown([entry("a") for _ in range(13)]) == ["a"] * 8 + ["3 a"] + ["a"] * 2
    assert shown([entry("a") for _ in range(13)], first=1, last=1) == ["a", "11 a", "a"]


def test_neighbours_of_other_names_are_no_run() -> None:
    steps = [entry(name) for name in "aaaabbbbaaaabbbb"]
    assert shown(steps) == list("aaaabbbbaaaabbbb")
    assert shown(steps, first=1, last=0) == ["a", "3 a", "b", "3 b", "a", "3 a", "b", "3 b"]


def test_a_cycle_of_a_few_names_folds() -> None:
    assert shown([entry(name) for name in "abc" * 100 + "ab"]) == [*"abcabc", "97 a,b,c", *"abcab"]
    assert lines([entry(name) for name in "ab" * 100])[8] == "  … 95 more of a, b …"


def test_what_contains_the_like_folds_as_one() -> None:
    steps = [savepoint("user", [entry("create"), entry("mail")]) for _ in range(20)]
    assert shown(steps) == ["user", "create", "mail"] * 8 + ["10 user"] + ["user", "create", "mail"] * 2
    other = [savepoint("user", [entry("create")]) for _ in range(4)]
    assert len(shown([*steps[:8], *other])) == 8 * 3 + 4 * 2


def test_batches_fold_in_whatever_order_their_parts_began() -> None:
    steps: list[Entry] = []
    for batch in range(20):
        names = "ab" if batch % 2 else "ba"
        steps += [entry(name, at=(batch, batch + 0.9)) for name in names]
    items = list(folded(read(report("t", "committed", steps)).forward))
    assert [each.labels for each in items if isinstance(each, Fold)] == [("several at once",)]
    assert shown([savepoint("", []) for _ in range(20)])[8] == "10 savepoint"


def test_what_somebody_should_look_at_is_shown_also_where_it_is_contained() -> None:
    steps = [savepoint("user", [entry("create", attempts=1 + (number == 30))]) for number in range(100)]
    assert shown(steps) == ["user", "create"] * 8 + ["22 user", "user", "create", "67 user"] + ["user", "create"] * 2
    hidden = lines([entry("a", undo="conflict" if number == 30 else None) for number in range(100)])
    assert hidden[8:11] == ["  … 22 more of a …", "  ✓ a", "  … 67 more of a …"]


def test_of_very_many_to_look_at_some_are_shown_and_all_are_counted() -> None:
    steps = [entry("a", attempts=2 if number % 2 else 1) for number in range(1000)]
    found = lines(steps)
    assert found.count("  ↻ a  2 attempts") == 50 + 1
    assert found[-3:] == ["  … 898 more of a (449 done, 449 retried) …", "  ✓ a", "  ↻ a  2 attempts"]
    left = lines([entry("a", undo="not undone") for _ in range(1000)])
    assert left.count("  ! a  left") == 52
    assert left[-3:] == ["  … 948 more of a (left) …", "  ! a  left", "  ! a  left"]


def test_two_that_would_be_hidden_are_shown() -> None:
    steps = [entry("a", attempts=1 + (number in (10, 13))) for number in range(16)]
    assert shown(steps) == ["a"] * 16


def test_children_are_found_at_each_level() -> None:
    nodes = read(report("t", "open", [savepoint("s", [entry("a"), savepoint("i", [entry("b")])]), entry("c")])).forward
    assert [node.label for node in children_of(nodes)] == ["s", "c"]
    assert [node.label for node in children_of(nodes, 0)] == ["a", "i"]
    assert [node.label for node in children_of(nodes, 1)] == []
    assert isinstance(nodes[0], Node)
    assert nodes[0].mark is Mark.DONE
