"""The command: ``python -m tests.benchmarks``, from the checkout.

It prints the rows that this package promises, each with the figure that it must keep to and the one that it aims at;
then the rows that explain those, and the other libraries beside this one. ``--check`` makes it fail if a figure is
missed, and so does ``--gates``, which takes seconds.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.benchmarks.anatomy import dissected
from tests.benchmarks.candidates import NotMeasured
from tests.benchmarks.comparison import compared
from tests.benchmarks.gates import GATES, TRIES, tried
from tests.benchmarks.machine import described
from tests.benchmarks.peers import PEERS
from tests.benchmarks.rows import EXPLAINING, PROMISED, Row, chosen
from tests.benchmarks.shapes import shapes
from tests.benchmarks.table import amount, ratio, rendered
from tests.benchmarks.timing import FULL, QUICK, Effort

MEASURED = ["baseline", "by hand", "ours", "median"]
WANTED = ["1.0.0", "must", "aim", ""]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    effort = QUICK if options.quick else FULL
    print(f"{described()}\n")
    if options.anatomy:
        _print_anatomy(effort, options.markdown)
        return 0
    if options.gates:
        return _print_gates(options.rows)
    missed = []
    if not options.only_peers:
        missed = _print_rows("ratio to ExitStack", chosen(PROMISED, options.rows), effort, options.markdown)
        _print_rows("to explain it", chosen(EXPLAINING, options.rows), effort, options.markdown)
    if not options.only_peers and not options.rows:
        _print_shapes(effort, options.markdown)
    if options.peers and not options.rows:
        _print_peers(options.peers, effort, options.markdown)
    if missed and options.check:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def _print_rows(title: str, rows: Sequence[Row], effort: Effort, markdown: bool) -> list[str]:
    """Print a table, and return what its rows have missed."""
    promised = any(row.must is not None for row in rows)
    body, reasons, missed = [], [], []
    for row in rows:
        found, verdict = ["-"] * len(MEASURED), "missed" if row.must is not None else ""
        try:
            figure = row.measure(effort)
        except NotMeasured as reason:
            reasons.append(f"{row.name}: {reason}")
        else:
            ratios = figure.floor_ratio, figure.ratio, figure.median
            found = [amount(figure.baseline, figure.unit), *map(ratio, ratios)]
            verdict = row.verdict(figure.ratio)
        if verdict == "missed":
            missed.append(f"{row.name}, {found[2]}")
        wanted = [ratio(row.first), ratio(row.must), ratio(row.aim), verdict]
        body.append([row.name, *found, *(wanted if promised else [])])
    if rows:
        head = [title, *MEASURED, *(WANTED if promised else [])]
        print(rendered(head, body, markdown=markdown), end="\n\n")
    _print_notes(reasons, markdown)
    return missed


def _print_gates(parts: Sequence[str]) -> int:
    gates = tried(chosen(GATES, parts))
    body = [
        [each.row.name, ratio(each.ratio), ratio(each.row.must), ratio(each.gate), "" if each.held else "missed"]
        for each in gates
    ]
    print(rendered(["ratio to ExitStack", "ours", "must", "gate", ""], body, markdown=False), end="\n\n")
    missed = [f"{each.row.name}, {each.reason or ratio(each.ratio)}" for each in gates if not each.held]
    if missed:
        print(f"above what it must cost: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _print_anatomy(effort: Effort, markdown: bool) -> None:
    for what, parts in dissected(effort).items():
        body = [
            [f"+ {part.adds}" if i else part.adds, ratio(part.added), ratio(part.ratio)] for i, part in enumerate(parts)
        ]
        print(rendered([what, "adds", "in all"], body, markdown=markdown), end="\n\n")


def _print_shapes(effort: Effort, markdown: bool) -> None:
    head = ["a step, 1000 in a block", "baseline", "committed", "undone"]
    body = [
        [each.name, amount(each.baseline, "ns"), ratio(each.committed), ratio(each.undone)] for each in shapes(effort)
    ]
    print(rendered(head, body, markdown=markdown), end="\n\n")


def _print_peers(names: Sequence[str], effort: Effort, markdown: bool) -> None:
    table = compared(names, effort)
    print(rendered(table.head, table.body, markdown=markdown), end="\n\n")
    _print_notes(table.notes, markdown)


def _print_notes(notes: Sequence[str], markdown: bool) -> None:
    for note in notes:
        print(f"- {note}" if markdown else note)
    if notes:
        print()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="What a step costs, as ratios to contextlib.ExitStack in the same run.",
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--check", action="store_true", help="exit 1 if a must figure is missed")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a README")
    parser.add_argument("--rows", nargs="+", default=[], metavar="PART", help="only rows whose name contains PART")
    parser.add_argument(
        "--peers", nargs="*", default=list(PEERS), choices=PEERS, metavar="NAME",
        help=f"these of the other libraries, or none at all ({', '.join(PEERS)})",
    )  # fmt: skip
    parser.add_argument(
        "--gates",
        action="store_true",
        help="measure every row that has a must figure, briefly, and exit 1 if one is above its gate. They are "
        f"for CPython 3.11. What is missed is measured again, {TRIES} times at most, and the best times of all count",
    )
    parser.add_argument(
        "--anatomy", action="store_true", help="what each part of a step costs, and which promise it keeps"
    )
    parser.add_argument("--only-peers", action="store_true", help="leave out the rows")
    options = parser.parse_args(arguments)
    rows = GATES if options.gates else (*PROMISED, *EXPLAINING)
    if not chosen(rows, options.rows):
        parser.error(f"no row has {' or '.join(options.rows)} in its name; the rows are: {_names(rows)}")
    return options


def _names(rows: Sequence[Row]) -> str:
    return "; ".join(row.name for row in rows)


if __name__ == "__main__":
    sys.exit(main())
