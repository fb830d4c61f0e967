"""Importance of hyperparameters: bars by PED-ANOVA and by functional ANOVA, with how far they are to be relied on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.words import escaped, label
from hpo_engine.reports.importance import FANOVA, PED_ANOVA, Effect, Importance, Sample, TooFew, importances
from hpo_engine.study.history import History

MOST = 16
"""Parameters shown; the others have less."""
_BAR, _PAIRS = 26, 3  # pixels of a bar; interactions shown
_GAP = 0.03

_kept: tuple[History, Sample, list[Importance]] | None = None


def computed(history: History) -> tuple[Sample, list[Importance]]:
    """The importances of a history; the latest ones are kept, as several figures need them.

    Raises:
        NothingToShow: the trials cannot tell.
    """
    global _kept
    kept = _kept
    if kept is None or kept[0] is not history:
        try:
            kept = _kept = (history, *importances(history))
        except TooFew as error:
            raise NothingToShow(str(error)) from None
    return kept[1], kept[2]


def leading(history: History, most: int) -> list[str]:
    """The parameters that matter most, at most so many: by functional ANOVA for the first objective, with what they
    have in interactions; in the order of the study file if the trials cannot tell."""
    names = [p.name for p, n in zip(history.spec.space.dimensions, history.spec.space.cells, strict=True) if n != 1]
    try:
        found = next(one for one in computed(history)[1] if one.method == FANOVA)
    except NothingToShow:
        return names[:most]
    shares = {effect.names[0]: effect.share for effect in found.effects}
    for pair in found.pairs:
        for name in pair.names:
            shares[name] += pair.share / 2
    return sorted(names, key=lambda name: -shares.get(name, 0.0))[:most]


def importance(history: History, *, target: str | None = None) -> go.Figure:
    """Both methods side by side for one target; a menu switches between targets if there are several.

    Args:
        target: the metric, or "the Pareto front", that is shown first.
    """
    sample, found = computed(history)
    targets = list(dict.fromkeys(one.target for one in found))
    first = targets[0] if target is None or target not in targets else target
    methods = [PED_ANOVA, FANOVA]
    figure, of = theme.new(), list[str]()
    for column, method in enumerate(methods):
        for one in (one for one in found if one.method == method):
            for trace in _bars(one, column, _order([o for o in found if o.target == one.target])[:MOST]):
                figure.add_trace(trace.update(visible=one.target == first))
                of.append(one.target)
    _lay_out(figure, sample, [one for one in found if one.target == first], len(targets) > 1)
    if len(targets) > 1:
        choices = [
            (
                label(word, 30),
                [mine == word for mine in of],
                _words(sample, [one for one in found if one.target == word], len(targets) > 1),
            )
            for word in targets
        ]
        theme.menu(figure, choices)
    return figure


def _order(found: Sequence[Importance]) -> list[str]:
    """The parameters by the mean of their shares."""
    shares: dict[str, float] = {}
    for one in found:
        for effect in one.effects:
            shares[effect.names[0]] = shares.get(effect.names[0], 0.0) + effect.share
    return sorted(shares, key=lambda name: -shares[name])


def _bars(one: Importance, column: int, order: Sequence[str]) -> list[go.Bar]:
    by_name = {effect.names[0]: effect for effect in one.effects}
    effects = [by_name[name] for name in order]
    strong = [effect for effect in effects if effect.distinct]
    weak = [effect for effect in effects if not effect.distinct]
    pairs = [pair for pair in one.pairs if pair.share >= 0.005][:_PAIRS]
    groups = [
        (strong, theme.BLUE if one.method == PED_ANOVA else theme.GREEN, "importance"),
        (weak, theme.FAINT, "no more than chance may show"),
        (pairs, theme.PURPLE, "interaction of two parameters"),
    ]
    return [_bar(group, column, colour, word) for group, colour, word in groups if group]


def _bar(effects: Sequence[Effect], column: int, colour: str, word: str) -> go.Bar:
    return go.Bar(
        x=[effect.share for effect in effects], y=[_name(effect) for effect in effects], orientation="h",
        name=word, legendgroup=word, showlegend=False, marker={"color": colour, "line": {"width": 0}},
        xaxis=f"x{column + 1 if column else ''}", yaxis="y", width=0.66,
        error_x={
            "type": "data", "symmetric": False, "array": [max(0.0, effect.high - effect.share) for effect in effects],
            "arrayminus": [max(0.0, effect.share - effect.low) for effect in effects],
            "color": theme.MUTED, "thickness": 1.2, "width": 3,
        },
        hovertext=[_hover(effect, word) for effect in effects], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _name(effect: Effect) -> str:
    width = 26 if len(effect.names) == 1 else 15
    return " × ".join(label(name, width) for name in effect.names)


def _hover(effect: Effect, word: str) -> str:
    names = " × ".join(label(name, 60) for name in effect.names)
    text = f"<b>{names}</b> {effect.share:.1%}<br>90% of the time between {effect.low:.1%} and {effect.high:.1%}"
    if effect.chance is not None:
        text += f"<br>chance alone would show up to {min(1.0, effect.chance):.1%}"
    return text if word != "interaction of two parameters" else f"{text}<br>beyond what each has by itself"


def _lay_out(figure: go.Figure, sample: Sample, found: Sequence[Importance], several: bool) -> None:
    names = _order(found)[:MOST]
    pairs = [_name(pair) for one in found for pair in one.pairs[:_PAIRS] if pair.share >= 0.005]
    labels = [label(name, 26) for name in names] + pairs
    low = 0.5 + _GAP
    axis = {"tickformat": ".0%", "zeroline": False, "nticks": 6}
    figure.update_layout(
        height=max(theme.HEIGHT - 60, _BAR * len(labels) + 190), barmode="overlay", bargap=0.2, showlegend=False,
        xaxis={**axis, "domain": [0, 0.5 - _GAP], "anchor": "y"}, xaxis2={**axis, "domain": [low, 1], "anchor": "y"},
        yaxis={"categoryorder": "array", "categoryarray": labels[::-1], "showgrid": False, "anchor": "x", "ticks": ""},
        margin={"t": 96, "b": 126 if several else 92},
    )  # fmt: skip
    figure.update_layout(_words(sample, found, several))


def _words(sample: Sample, found: Sequence[Importance], several: bool) -> dict[str, object]:
    """The annotations for one target: the methods, what they rest on, and doubts."""
    notes = []
    for column, method in enumerate((PED_ANOVA, FANOVA)):
        one = next((one for one in found if one.method == method), None)
        text = f"<b>{method}</b>: " + _said(method, one)
        notes.append({
            "text": _wrapped(text, 42), "xref": "paper", "yref": "paper", "x": 0 if column == 0 else 0.5 + _GAP, "y": 1,
            "xanchor": "left", "yanchor": "bottom", "showarrow": False, "align": "left", "yshift": 6,
        })  # fmt: skip
    doubts = list(dict.fromkeys(doubt for one in found for doubt in one.doubts))
    target = next((one.target for one in found), "")
    rest = f"for {escaped(target)}; {'; '.join(map(escaped, sample.notes))}. "
    rest += "Whiskers: 90% over resampled trials, and over trees."
    if any(not effect.distinct for one in found for effect in one.effects):
        rest += " Grey: no more than chance may show."
    if doubts:
        rest += f"<br><b>Caution:</b> {'; '.join(map(escaped, doubts))}."
    notes.append({
        "text": _wrapped(rest, 84), "xref": "paper", "yref": "paper", "x": 0, "y": 0, "xanchor": "left",
        "yanchor": "top", "showarrow": False, "align": "left", "yshift": -64 if several else -30,
    })  # fmt: skip
    reach = [max((max(e.share, e.high) for e in (*one.effects, *one.pairs[:_PAIRS])), default=1.0) for one in found]
    ends = {f"xaxis{i + 1 if i else ''}.range": [0, min(1.0, 1.04 * end) or 1.0] for i, end in enumerate(reach)}
    return {"annotations": notes, "xaxis2.visible": len(found) > 1, **ends}


def _said(method: str, one: Importance | None) -> str:
    if one is None:
        return "for one objective at a time, see the menu"
    if method == PED_ANOVA:
        return f"what the best trials have in common: {one.how}"
    explained = "" if one.explained is None else f" ({max(0.0, one.explained):.0%} explained of trials not seen)"
    return f"what the value depends on: {one.how}{explained}"


def _wrapped(text: str, width: int) -> str:
    lines = [line for part in text.split("<br>") for line in textwrap.wrap(part, width, break_long_words=False)]
    return "<br>".join(lines)
