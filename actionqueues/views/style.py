"""How pictures look: the colours of a light and of a dark page, the tone and the icon of each mark, the style sheet.

Every pair of a text's colour and its ground has a contrast of 4.5 and more, and no colour stands for what a word and an
icon beside it do not say too.

Stands on the model.  Used by boxes, svg, mermaid and html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .model import Mark

__all__ = ["DARK", "ENDED", "ICONS", "LIGHT", "MONO", "SANS", "STYLE", "Palette", "icon_of", "mark_of", "tone_of"]

SANS: Final = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
MONO: Final = "ui-monospace,SFMono-Regular,'SF Mono',Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono',monospace"


class Palette(NamedTuple):
    """Grounds and lines; of each tone the colours of its text, its ground and its edge."""

    page: str
    edge: str
    card: str
    card_edge: str
    frame: str
    frame_edge: str
    text: str
    soft: str
    way: str
    back: str
    tones: Mapping[str, tuple[str, str, str]]


LIGHT: Final = Palette(
    page="#ffffff",
    edge="#d5dae1",
    card="#f8f9fb",
    card_edge="#c9d0d9",
    frame="#f1f4f9",
    frame_edge="#c3cbd8",
    text="#1c2430",
    soft="#55606f",
    way="#465364",
    back="#5a51c8",
    tones={
        "good": ("#14612f", "#e3f4e8", "#8fcfa4"),
        "bad": ("#a1182a", "#fdebec", "#e79aa2"),
        "undone": ("#463db0", "#eeedfc", "#b5b0ea"),
        "heed": ("#7a4a00", "#fdf1d8", "#e0bb6c"),
        "live": ("#0b5a80", "#e2f2fa", "#8bc3de"),
        "idle": ("#5a6473", "#ffffff", "#d5dae1"),
    },
)
DARK: Final = Palette(
    page="#0f141b",
    edge="#2c3440",
    card="#171d26",
    card_edge="#353f4d",
    frame="#131922",
    frame_edge="#39434f",
    text="#e7ecf3",
    soft="#a2adbb",
    way="#9aa7b8",
    back="#a7a0ff",
    tones={
        "good": ("#86dda4", "#11291b", "#2c6741"),
        "bad": ("#ffa3aa", "#371519", "#8a3841"),
        "undone": ("#bdb8ff", "#221f41", "#544d99"),
        "heed": ("#f0c674", "#2f230c", "#7a5c1f"),
        "live": ("#84cdf0", "#0f2733", "#2b6480"),
        "idle": ("#98a3b2", "#11161e", "#323b47"),
    },
)

_TONE: Final = {
    Mark.DONE: "good",
    Mark.RETRIED: "good",
    Mark.FAILED: "bad",
    Mark.UNKNOWN: "heed",
    Mark.RUNNING: "live",
    Mark.ROLLED_BACK: "undone",
    Mark.UNDOING: "live",
    Mark.UNDONE: "undone",
    Mark.UNDO_FAILED: "bad",
    Mark.CONFLICT: "bad",
    Mark.SKIPPED: "heed",
    Mark.LEFT: "heed",
    Mark.ABANDONED: "heed",
}


def tone_of(mark: Mark | None) -> str:
    """The group of colours in which it is shown."""
    return "idle" if mark is None else _TONE.get(mark, "idle")


#: Strokes in a circle of radius 8 about (0, 0).
ICONS: Final[dict[str, str]] = {
    "check": "M-3.6 .2l2.5 2.6L3.8-2.6",
    "cross": "M-2.7-2.7l5.4 5.4M2.7-2.7l-5.4 5.4",
    "undo": "M-.8-4.6L-3.6-1.9L-.8 .8M-3.4-1.9H.9A2.75 2.75 0 0 1 .9 3.6H-2",
    "heed": "M0-4V.9M0 3.5V3.6",
    "ask": "M-2.2-1.8A2.2 2.2 0 1 1 .9 .2Q0 .6 0 1.4M0 3.8V3.9",
    "dots": "M-3.3 0H-3.2M0 0H.1M3.3 0H3.4",
    "dash": "M-3 0H3",
}
_ICON: Final = {
    Mark.DONE: "check",
    Mark.RETRIED: "check",
    Mark.FAILED: "cross",
    Mark.UNKNOWN: "ask",
    Mark.RUNNING: "dots",
    Mark.QUEUED: "dots",
    Mark.ROLLED_BACK: "undo",
    Mark.UNDOING: "dots",
    Mark.UNDONE: "undo",
    Mark.UNDO_FAILED: "cross",
    Mark.CONFLICT: "heed",
    Mark.SKIPPED: "heed",
    Mark.LEFT: "heed",
    Mark.ABANDONED: "heed",
}


def icon_of(mark: Mark | None) -> str:
    """Its name in `ICONS`."""
    return "dash" if mark is None else _ICON.get(mark, "dash")


_MARKS: Final = {
    "committed": Mark.DONE,
    "released": Mark.DONE,
    "execute complete": Mark.DONE,
    "rolled back": Mark.ROLLED_BACK,
    "rollback complete": Mark.ROLLED_BACK,
    "undone later": Mark.ROLLED_BACK,
    "rolled back with failures": Mark.UNDO_FAILED,
    "stuck": Mark.CONFLICT,
    "open": Mark.RUNNING,
    "rolling back": Mark.UNDOING,
    "execute": Mark.RUNNING,
    "rollback": Mark.UNDOING,
}
#: It has come to an end.
ENDED: Final = frozenset(state for state, mark in _MARKS.items() if mark not in (Mark.RUNNING, Mark.UNDOING))


def mark_of(state: str) -> Mark | None:
    """The mark that stands for the state of a whole transaction."""
    return _MARKS.get(state)


_SHAPES: Final = f"""
.aq-svg text{{font:12px {SANS}}}
.aq-svg .aq-mono{{font:10.5px {MONO}}}
.aq-svg .aq-name{{font:600 12px {MONO}}}
.aq-svg .aq-title{{font:600 17px {SANS}}}
.aq-svg .aq-word{{font:600 11.5px {SANS}}}
.aq-svg .aq-tight{{font:600 10.5px {SANS}}}
.aq-svg .aq-small{{font:10px {SANS}}}
.aq-svg .aq-end{{text-anchor:end}}
.aq-svg .aq-mid{{text-anchor:middle}}
.aq-svg .aq-line{{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}}
.aq-svg .aq-icon{{fill:none;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}}
.aq-svg .aq-dash{{stroke-dasharray:4 3}}
.aq-svg .aq-word.aq-idle{{font-weight:400}}
"""


def _colours(palette: Palette) -> str:
    rules = [
        f".aq-page{{fill:{palette.page};stroke:{palette.edge}}}",
        f".aq-card{{fill:{palette.card};stroke:{palette.card_edge}}}",
        f".aq-frame{{fill:{palette.frame};stroke:{palette.frame_edge}}}",
        f".aq-text{{fill:{palette.text}}}",
        f".aq-soft{{fill:{palette.soft}}}",
        f".aq-way{{stroke:{palette.way}}}",
        f".aq-back{{stroke:{palette.back}}}",
        f".aq-way-head{{fill:{palette.way}}}",
        f".aq-back-head{{fill:{palette.back}}}",
        f".aq-track{{fill:{palette.edge}}}",
    ]
    for tone, (text, ground, edge) in palette.tones.items():
        rules.append(f".aq-{tone}-box{{fill:{ground};stroke:{edge}}}")
        rules.append(f".aq-{tone}{{fill:{text}}}")
        rules.append(f".aq-{tone}-icon{{stroke:{text}}}")
        rules.append(f".aq-{tone}-bar{{fill:{edge}}}")
    return "\n".join(f".aq-svg {rule}" for rule in rules)


#: The style sheet of a picture; of a page with several, once is enough.
STYLE: Final = f"{_SHAPES}{_colours(LIGHT)}\n@media (prefers-color-scheme:dark){{\n{_colours(DARK)}\n}}\n"
