"""How the figures are printed: as a table for a terminal, or as one for a Markdown page."""

from collections.abc import Sequence

Cells = Sequence[str]


def rendered(head: Cells, body: Sequence[Cells], *, markdown: bool) -> str:
    """The table; the first column is aligned to the left, the others to the right."""
    widths = [max(len(cells[column]) for cells in [head, *body]) for column in range(len(head))]

    def line(cells: Cells) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    if markdown:
        rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    else:
        rules = ["-" * width for width in widths]
    return "\n".join(line(cells) for cells in [head, rules, *body])


def ratio(value: float | None) -> str:
    """Two figures that count: 0.074, 0.15, 1.2, 12."""
    if value is None:
        return "-"
    if value < 0.0995:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 9.95 else f"{value:.0f}"


def amount(value: float, unit: str) -> str:
    """``unit`` is "ns" or "B"; a hundredth is of no interest to anyone."""
    return f"{value:.0f} {unit}"
