"""The command: ``python -m tests.benchmarks``, from the checkout.

It prints the rows of the design, each with the figure that it must keep to and the one that it aims
at, and then the other libraries beside this one. ``--check`` makes it fail if a figure is missed.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.benchmarks.anatomy import dissected
from tests.benchmarks.candidates import NotMeasured
from tests.benchmarks.comparison import compared
from tests.benchmarks.gates import gates, tried
from tests.benchmarks.machine import described
from tests.benchmarks.peers import PEERS
from tests.benchmarks.rows import Row, chosen
from tests.benchmarks.shapes import shapes
from tests.benchmarks.table import amount, ratio, rendered
from tests.benchmarks.timing import FULL, QUICK, Effort

HEAD = ["ratio to ExitStack", "baseline", "by hand", "ours", "median", "must", "aim", ""]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    effort = QUICK if options.quick else FULL
    print(f"{described()}\n")
    if options.anatomy:
        _print_anatomy(effort, options.markdown)
        return 0
    if options.gates:
        return _print_gates()
    missed = []
    if not options.only_peers:
        missed = _print_rows(chosen(options.rows), effort, options.markdown)
    if not options.only_peers and not options.rows:
        _print_shapes(effort, options.markdown)
    if options.peers and not options.rows:
        _print_peers(options.peers, effort, options.markdown)
    if missed and options.check:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def _print_rows(rows: Sequence[Row], effort: Effort, markdown: bool) -> list[str]:
    body, reasons, missed = [], [], []
    for row in rows:
        wanted = [ratio(row.must), ratio(row.aim)]
        try:
            figure = row.measure(effort)
        except NotMeasured as reason:
            body.append([row.name, "-", "-", "-", "-", *wanted, ""])
            reasons.append(f"{row.name}: {reason}")
            continue
        verdict = row.verdict(figure.ratio)
        if verdict == "missed":
            missed.append(f"{row.name}, {ratio(figure.ratio)}")
        found = [ratio(figure.floor_ratio), ratio(figure.ratio), ratio(figure.median)]
        body.append([row.name, amount(figure.baseline, figure.unit), *found, *wanted, verdict])
    print(rendered(HEAD, body, markdown=markdown), end="\n\n")
    _print_notes(reasons, markdown)
    return missed


def _print_gates() -> int:
    body, closed = [], []
    for row, gate in gates():
        found = tried(row, gate)
        body.append([row.name, ratio(found), ratio(gate)])
        if found > gate:
            closed.append(f"{row.name}, {ratio(found)}")
    print(rendered(["ratio to ExitStack", "ours", "gate"], body, markdown=False), end="\n\n")
    if closed:
        print(f"slower than it was: {'; '.join(closed)}", file=sys.stderr)
    return 1 if closed else 0


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
    parser.add_argument("--gates", action="store_true", help="exit 1 if a figure is a third worse than it was")
    parser.add_argument(
        "--anatomy", action="store_true", help="what each part of a step costs, and which promise it keeps"
    )
    parser.add_argument("--only-peers", action="store_true", help="leave out the rows")
    options = parser.parse_args(arguments)
    if not chosen(options.rows):
        names = "; ".join(row.name for row in chosen([]))
        parser.error(f"no row has {' or '.join(options.rows)} in its name; the rows are: {names}")
    return options


if __name__ == "__main__":
    sys.exit(main())
