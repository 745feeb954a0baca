"""`to_html`: a report as a page of its own: what happened in a line, the picture, and a table of all facts.

No script, no address; light and dark, and readable at the width of a telephone.  The page forbids itself everything but
its own style sheet; a server that forbids style sheets within pages serves `STYLE` beside it, and puts `fragment(data)`
into its page.

Stands on svg, folding and style.  Used by mime, reports and the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .folding import Fold, folded
from .labels import counted
from .letters import duration, xml
from .model import TOGETHER, Mark, Node, Story, read
from .style import DARK, LIGHT, MONO, SANS, Palette, tone_of
from .style import STYLE as PICTURE_STYLE
from .summary import summarised
from .svg import picture

__all__ = ["STYLE", "fragment", "to_html"]

#: So many rows are in the table; how many more there are is told.
_MOST: Final = 500
#: So deep are names moved in.
_DEEPEST: Final = 5

_SHAPES: Final = f"""
.aq-report{{font:14px/1.45 {SANS};padding:16px;border-radius:12px;max-width:912px;margin:0 auto;box-sizing:border-box}}
.aq-report *{{box-sizing:border-box}}
.aq-report p{{margin:0 0 12px;overflow-wrap:anywhere}}
.aq-report figure{{margin:0 0 16px;overflow-x:auto}}
.aq-report figure svg{{display:block;max-width:none}}
.aq-report table{{border-collapse:collapse;width:100%}}
.aq-report caption{{text-align:left;font-weight:600;padding:0 0 6px}}
.aq-report table th,.aq-report table td{{text-align:left;vertical-align:top;padding:5px 12px 5px 0;
overflow-wrap:anywhere;border:0;border-top:1px solid;background:none}}
.aq-report thead th{{border-top:0;white-space:nowrap;font-weight:600;font-size:12px}}
.aq-report tbody th{{font:600 12.5px/1.5 {MONO}}}
.aq-report code{{font:12px/1.5 {MONO};background:none;padding:0;color:inherit;overflow-wrap:anywhere}}
.aq-report .aq-state{{display:inline-block;padding:0 8px;border:1px solid;border-radius:9px;font-weight:600}}
.aq-report .aq-state,.aq-report tbody td[data-of]::before{{font-size:12px}}
.aq-report .aq-number{{white-space:nowrap}}
{"".join(f".aq-report .aq-in{n}{{padding-left:{n * 16}px}}" for n in range(1, _DEEPEST + 1))}
@media (max-width:640px){{
.aq-report{{padding:10px}}
.aq-report thead{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
.aq-report tbody tr,.aq-report tbody th,.aq-report tbody td{{display:block;border:0;padding-top:2px;padding-bottom:2px}}
.aq-report tbody tr{{border-top:1px solid;padding:6px 0}}
.aq-report tbody td:empty{{display:none}}
.aq-report tbody td[data-of]::before{{content:attr(data-of) ": "}}
}}
"""


def _colours(palette: Palette) -> str:
    rules = [
        f".aq-report{{background:{palette.page};color:{palette.text}}}",
        f".aq-report th,.aq-report td,.aq-report tbody tr{{border-color:{palette.edge};color:{palette.text}}}",
        f".aq-report thead th,.aq-report .aq-quiet,.aq-report td::before{{color:{palette.soft}}}",
    ]
    for tone, (text, ground, edge) in palette.tones.items():
        rules.append(f".aq-report .aq-is-{tone}{{color:{text};background:{ground};border-color:{edge}}}")
    return "\n".join(rules)


#: The style sheet of `fragment`, with that of the picture in it.
STYLE: Final = (
    f"{PICTURE_STYLE}{_SHAPES}{_colours(LIGHT)}\n@media (prefers-color-scheme:dark){{\n{_colours(DARK)}\n}}\n"
)

_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>
body{{margin:0;background:{LIGHT.page}}}
@media (prefers-color-scheme:dark){{body{{background:{DARK.page}}}}}
%s</style>
</head>
<body>
%s</body>
</html>
"""


def to_html(data: Mapping[str, Any]) -> str:
    """What `Report.as_dict()` gives, as a page that stands alone.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    story = read(data)
    return _PAGE % (xml(f"{story.name or story.kind}: {story.state}"), STYLE, _section(story, data))


def fragment(data: Mapping[str, Any]) -> str:
    """The part of such a page that tells of the report, without the style sheet: that is `STYLE`, once for a page.

    It holds neither scripts nor style attributes, so it does in a page with a strict content security policy.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    return _section(read(data), data)


def _section(story: Story, data: Mapping[str, Any]) -> str:
    return "".join(
        (
            '<section class="aq-report">\n',
            f"<p>{xml(summarised(story, data, unicode=True))}</p>\n",
            f'<figure tabindex="0">\n{picture(story, data)}</figure>\n',
            *_table("Steps", ("#", "Step", "State", "Took", "Attempts", "Undo"), list(_steps(story))),
            *_table("After commit", ("Hook", "State", "Error"), [_hook(*hook) for hook in story.hooks[:_MOST]]),
            *_table("Not as it should be", ("What", ""), list(_notes(story))),
            "</section>\n",
        )
    )


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """If there are rows. A cell is HTML already, its tag and all."""
    if not rows:
        return
    yield f"<table>\n<caption>{caption}</caption>\n<thead><tr>"
    yield "".join(f'<th scope="col">{column}</th>' for column in columns)
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        yield f"<tr>{''.join(row)}</tr>\n"
    yield "</tbody>\n</table>\n"


def _steps(story: Story) -> Iterator[list[str]]:
    undos = {node.source: node for node in story.back if node.kind != TOGETHER}
    left = _MOST
    for item in folded(story.forward, first=20, last=5):
        left -= 1
        if left < 0:
            break
        depth = min(item.depth, _DEEPEST)
        if isinstance(item, Fold):
            what = f"{counted(len(item.hidden))} more of {', '.join(item.labels)}"
            marks = ", ".join(f"{counted(number)} {mark}" for mark, number in item.marks)
            yield [_cell("", ""), _head(f"… {what}", depth), f'<td colspan="4" class="aq-quiet">{xml(marks)}</td>']
        elif item.kind == TOGETHER:
            yield [_cell("", ""), _head("at the same time", depth), '<td colspan="4"></td>']
        else:
            yield _step(item, undos.get(item.place), depth)
    if left < 0:
        hidden = counted(len(story.forward) - _MOST)
        yield [_cell("", ""), f'<td colspan="5" class="aq-quiet">… and at least {hidden} more</td>']


def _step(node: Node, undo: Node | None, depth: int) -> list[str]:
    kind = f'<span class="aq-quiet">{xml(node.kind)}</span> ' if node.kind != "step" else ""
    arguments = f" <code>{xml(node.arguments)}</code>" if node.arguments else ""
    state = _state(node.mark, "released" if node.kind == "savepoint" and node.mark is Mark.DONE else "")
    error = f" <code>{xml(node.error)}</code>" if node.error else ""
    undone = ""
    if undo is not None:
        attempts = f" {counted(undo.attempts)} attempts" if undo.attempts > 1 else ""
        took = f" {duration(undo.seconds)}" if undo.seconds is not None else ""
        why = f" <code>{xml(undo.error or undo.reason)}</code>" if undo.error or undo.reason else ""
        undone = f"{_state(undo.mark)}{took}{attempts}{why}"
    return [
        _cell("", str(node.number or ""), "aq-number aq-quiet"),
        _head(node.label, depth, before=kind, after=arguments),
        _cell("State", state + error),
        _cell("Took", duration(node.seconds).replace("<", "&lt;"), "aq-number"),
        _cell("Attempts", counted(node.attempts) if node.attempts else ""),
        _cell("Undo", undone),
    ]


def _hook(name: str, state: str, error: str) -> list[str]:
    mark = {"done": Mark.DONE, "failed": Mark.FAILED}.get(state)
    shown = f"<code>{xml(error)}</code>" if error else ""
    return [_head(name, 0), _cell("State", _state(mark, state)), _cell("Error", shown)]


def _notes(story: Story) -> Iterator[list[str]]:
    found = [("stuck", story.reason)] if story.reason else []
    found += [("never awaited", name) for name in story.never_awaited[:_MOST]]
    found += [("not recorded", text) for text in story.journal_failures[:_MOST]]
    for what, text in found:
        yield [f'<th scope="row">{what}</th>', _cell("", f"<code>{xml(text)}</code>")]


def _cell(of: str, content: str, classes: str = "") -> str:
    about = f' data-of="{of}"' if of else ""
    return f"<td{about}" + (f' class="{classes}"' if classes else "") + f">{content}</td>"


def _head(text: str, depth: int, *, before: str = "", after: str = "") -> str:
    inner = f"{before}{xml(text)}{after}"
    return '<th scope="row">' + (f'<div class="aq-in{depth}">{inner}</div>' if depth else inner) + "</th>"


def _state(mark: Mark | None, words: str = "") -> str:
    tone = tone_of(mark)
    return f'<span class="aq-state aq-is-{tone}">{xml(words or str(mark))}</span>'
