"""A migration as Plotly figures: rounds, exits, convergence, time line. Data come from reading/rounds.py. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pagingviz.boards.palette import DIRTY, DIRTY_BEFORE, FREE, PALETTES, PENDING, WRITABLE, Palette, age_colour, ink_on
from pagingviz.migration import Round
from pagingviz.migration.wire import FREQUENCY
from pagingviz.reading.rounds import Pace
from pagingviz.ui.figures import DASHES, LINES, history, layout

MOST_BARS = 60  # rounds in a chart; the table has all
MOST_WORDS = 24  # beside each other along an axis
_HATCHES = ("", "/", ".", "x", "-", "|", "+")  # nothing depends on colour alone
_LANES = ("wire", "source", "nowhere", "destination")
_SAID = {
    "wire": "the wire",
    "source": "guest on the source",
    "nowhere": "guest on neither",
    "destination": "guest on the destination",
}
_FILLS = {"wire": WRITABLE, "source": FREE, "nowhere": PENDING, "destination": FREE}


def _numbers(rounds: Sequence[Round]) -> list[str]:
    return [f"{r.number}" + (" final" if r.kind == "final" else "") for r in rounds]


def _axes(figure: go.Figure, palette: Palette, theme_title: str, y: str, height: int = 320) -> go.Figure:
    figure.update_layout(layout(palette), height=height, title={"text": theme_title}, bargap=0.25, bargroupgap=0.05)
    figure.update_layout(margin_b=112)  # a legend of three lines
    figure.update_xaxes(
        type="category", tickangle=0, gridcolor=palette.hatch, title={"text": "round", "font_size": 13, "standoff": 4}
    )
    figure.update_yaxes(
        title={"text": y, "font_size": 13}, gridcolor=palette.hatch, zeroline=False, rangemode="tozero", tickformat=","
    )
    return figure


def rounds_bars(rounds: Sequence[Round], theme: str) -> go.Figure:
    """Pages sent in each round beside those dirtied meanwhile, of which some were sent after their last store."""
    palette, rounds = PALETTES[theme], rounds[-MOST_BARS:]
    x = _numbers(rounds)
    figure = go.Figure()
    needed = [r.dirtied - r.needless for r in rounds]
    for name, y, base, group, fill, hatch in (
        ("sent", [r.sent for r in rounds], None, "sent", WRITABLE, ""),
        ("dirtied, and sent too early", needed, None, "dirty", DIRTY, ""),
        ("dirty bit set, but only before it was sent", [r.needless for r in rounds], needed, "dirty", DIRTY_BEFORE, "/"),
    ):
        figure.add_bar(
            x=x,
            y=y,
            base=base,
            name=name,
            offsetgroup=group,
            marker={
                "color": palette.fill(fill),
                "line": {"color": palette.swatches[fill].edge, "width": 1},
                "pattern": {"shape": hatch, "fgcolor": palette.text, "solidity": 0.2, "fillmode": "overlay"},
            },
            hovertemplate=f"round %{{x}}, {name}: %{{y:,}}<extra></extra>",
        )
    return _axes(figure, palette, "Pages sent and dirtied", "pages")


def exits_bars(rounds: Sequence[Round], exits: Sequence[dict[str, int]], theme: str) -> go.Figure:
    """Exits of each round by cause (`exits`: a dict a round), one upon the other."""
    palette, rounds, exits = PALETTES[theme], rounds[-MOST_BARS:], exits[-MOST_BARS:]
    causes = list(dict.fromkeys(name for found in exits for name in found))
    figure = go.Figure()
    for k, cause in enumerate(causes):
        colour = age_colour(1 - k / max(len(causes) - 1, 1))
        figure.add_bar(
            x=_numbers(rounds),
            y=[found.get(cause, 0) for found in exits],
            name=cause,
            marker={
                "color": colour,
                "line": {"color": palette.text, "width": 1},
                "pattern": {
                    "shape": _HATCHES[k % len(_HATCHES)],
                    "fgcolor": ink_on(colour),
                    "solidity": 0.2,
                    "fillmode": "overlay",
                },
            },
            hovertemplate=f"round %{{x}}, {cause}: %{{y:,}}<extra></extra>",
        )
    figure.update_layout(barmode="stack")
    return _axes(figure, palette, "Exits while each round was sent, by cause", "exits")


def rates(paces: Sequence[Pace], bandwidth: int, theme: str) -> go.Figure:
    """How fast each round was sent, and how fast the guest dirtied meanwhile (reading.rounds.Pace each), MB/s."""
    palette, paces = PALETTES[theme], paces[-MOST_BARS:]
    figure = go.Figure()
    x = [str(pace.number) for pace in paces]
    for k, (name, y) in enumerate((("sent", [p.sent for p in paces]), ("dirtied", [p.dirtied for p in paces]))):
        figure.add_scatter(
            x=x,
            y=y,
            name=name,
            mode="lines+markers",
            marker={"size": 9, "symbol": ("circle", "square")[k]},
            line={"color": LINES[theme][k], "width": 2, "dash": DASHES[k]},
            hovertemplate=f"round %{{x}}, {name}: %{{y:,.0f}} MB/s<extra></extra>",
        )
    figure.add_hline(
        y=bandwidth,
        line={"color": palette.text, "width": 1, "dash": "dot"},
        annotation_text=f"link {bandwidth:,} MB/s",
        annotation_position="top right",
    )
    return _axes(figure, palette, "Dirty rate against link", "MB/s")


def downtimes(paces: Sequence[Pace], fixed: int, actual: int, theme: str) -> go.Figure:
    """The pause that would have followed each round, in ms, over its fixed part; a line at the real one, if it is known."""
    palette, paces = PALETTES[theme], paces[-MOST_BARS:]
    us = FREQUENCY
    figure = go.Figure()
    x = [str(pace.number) for pace in paces]
    figure.add_bar(
        x=x,
        y=[fixed / us] * len(paces),
        name="fixed: suspend, state, resume",
        marker={"color": palette.fill(FREE), "line": {"color": palette.text, "width": 1}},
    )
    figure.add_bar(
        x=x,
        y=[(p.downtime - fixed) / us for p in paces],
        name="the pages that are dirty then",
        marker={"color": palette.fill(DIRTY), "line": {"color": palette.text, "width": 1}},
    )
    figure.update_layout(barmode="stack")
    figure.update_traces(hovertemplate="after round %{x}: %{y:,.1f} µs<extra>%{fullData.name}</extra>")
    if actual:
        figure.add_hline(
            y=actual / us,
            line={"color": palette.text, "width": 2, "dash": "dash"},
            annotation_text=f"the pause: {actual / us:,.0f} µs",
            annotation_position="top right",
            annotation_bgcolor=palette.ground,
        )
    return _axes(figure, palette, "The pause, if this round were the last", "µs")


def time_line(stretches: Sequence[tuple[str, str, int, int]], now: int, theme: str) -> go.Figure:
    """What was where, to scale (reading.rounds.stretches); a line at the present moment, at most at the end. In cycles."""
    palette = PALETTES[theme]
    figure = go.Figure()
    span = max([end for _, _, _, end in stretches], default=1) or 1
    lanes = [lane for lane in _LANES if any(lane == at for at, *_ in stretches)]
    for lane, text, since, until in stretches:
        begin, end = since / FREQUENCY, until / FREQUENCY
        fill = palette.fill(_FILLS[lane])
        wide = (until - since) / span > 0.012 * len(text)
        short = text.removeprefix("round ").partition(",")[0] if lane == "wire" else ""
        figure.add_bar(
            orientation="h",
            y=[_SAID[lane]],
            x=[end - begin],
            base=[begin],
            width=0.62,
            text=[text if wide else short],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont={"color": ink_on(fill), "size": 13},
            showlegend=False,
            marker={"color": fill, "line": {"color": palette.text, "width": 1}},
            hovertemplate=f"{text}: {begin:,.0f} to {end:,.0f} µs<extra></extra>",
        )
    figure.add_vline(
        x=min(now, span) / FREQUENCY, line={"color": palette.text, "width": 3}, annotation_text="now", annotation_position="top"
    )
    figure.update_layout(
        layout(palette), height=110 + 40 * len(lanes), barmode="overlay", title={"text": "Time line, to scale"}
    )
    figure.update_layout(margin={"l": 168, "r": 24})
    figure.update_yaxes(
        categoryorder="array", categoryarray=[_SAID[lane] for lane in reversed(lanes)], tickfont_size=13, ticksuffix="  "
    )
    figure.update_xaxes(
        title={"text": "µs since the migration began", "font_size": 13}, gridcolor=palette.hatch, zeroline=False, tickformat=","
    )
    return figure


def course(
    ticks: np.ndarray,
    series: dict[str, np.ndarray],
    names: tuple[str, ...],
    now: int,
    marks: Sequence[tuple[int, str]],
    theme: str,
) -> go.Figure:
    """The history of a migration (Simulation.course), with a line at each tick of `marks`, [(tick, word)]: where rounds began.

    ticks: int64[n]; series: {name: int64[n]}. The axis is that of the migration: `now` has no line when it lies beyond.
    """
    figure = history(ticks, series, names, now, theme)
    first, last = int(ticks[0]), max(int(ticks[-1]), *(tick for tick, _ in marks)) if marks else int(ticks[-1])
    if now > last:
        figure.layout.shapes, figure.layout.annotations = (), ()
    colour = PALETTES[theme].muted
    room = (last - first) / MOST_WORDS
    worded = first - room
    for tick, word in marks[-MOST_BARS:]:
        figure.add_vline(x=tick, line={"color": colour, "width": 1})
        if tick >= worded + room:  # words of rounds that are too short for them would lie upon each other
            worded = tick
            figure.add_annotation(
                x=tick,
                y=1,
                yref="paper",
                text=word,
                showarrow=False,
                xanchor="left",
                yanchor="top",
                font_color=colour,
                bgcolor=PALETTES[theme].ground,
            )
    figure.update_layout(title={"text": "History of the migration"}, height=280)
    figure.update_xaxes(range=[first, last])
    return figure


# ---- one work, every road

_PANELS = (  # title, value of a report (migrations.report), format
    ("pages sent again", lambda r: r["pages"] - (r["rounds"][0]["sent"] if r["rounds"] else 0), ",d"),
    ("guest slowed by, %", lambda r: 100 * r["slowdown"], ".0f"),
    ("downtime, ms", lambda r: r["downtime"] / 1e3, ".2f"),
    ("total, ms", lambda r: r["total"] / 1e3, ".2f"),
)


def every_road(rows: list[dict], theme: str) -> go.Figure:
    """Four panels of bars, a road (migrations.side_by_side) a bar; roads that cannot run are left out."""
    palette, able = PALETTES[theme], [row for row in rows if "error" not in row][::-1]
    figure = make_subplots(
        1, len(_PANELS), shared_yaxes=True, subplot_titles=[title for title, *_ in _PANELS], horizontal_spacing=0.03
    )
    for k, (title, value, form) in enumerate(_PANELS):
        figure.add_bar(
            x=[value(row) for row in able],
            y=[row["name"] for row in able],
            orientation="h",
            row=1,
            col=k + 1,
            marker={"color": LINES[theme][0], "line": {"color": palette.text, "width": 1}},
            texttemplate=f"%{{x:{form}}}",
            textposition="auto",
            cliponaxis=False,
            hovertemplate=f"%{{y}}: %{{x:{form}}} {title}<extra></extra>",
        )
    figure.update_layout(
        layout(palette),
        height=300,
        showlegend=False,
        bargap=0.25,
        margin={"l": 100, "t": 64},
        title={"text": "The same work and seed, moved down every road"},
    )
    figure.update_xaxes(gridcolor=palette.hatch, zeroline=False, rangemode="tozero", nticks=4)
    figure.update_annotations(font={"size": 14, "color": palette.text})
    return figure
