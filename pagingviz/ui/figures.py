"""Grids and histories as Plotly figures: for what stands still. Same cells, palette and letters as the live board. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from pagingviz.boards.board import Plan
from pagingviz.boards.palette import (
    AGE_OLDEST,
    AGE_YOUNGEST,
    BLANK,
    CHANGED,
    CROSSED,
    CROSSED_WORDS,
    FILL_CODES,
    FILL_MASK,
    LETTER_MASK,
    LETTER_SHIFT,
    LETTERS,
    PALETTES,
    PINNED,
    TABLE,
    Palette,
    age_colour,
    ink_on,
)
from pagingviz.experiments.ledger import Entry
from pagingviz.experiments.pool_size import Point
from pagingviz.reading.dirty_tree import TreePage

LETTERS_UP_TO = 64  # columns: beyond that a letter is smaller than a reader's eye
CODES = AGE_OLDEST + 1
WIDTH, LARGEST_CELL = 960, 40  # px
LINES = {theme: palette.lines for theme, palette in PALETTES.items()}
DASHES = ("solid", "dash", "dot")  # nothing depends on colour alone
_FLAGS = (
    (PINNED, "square-open", "thick edge"),
    (CROSSED, "x-thin-open", CROSSED_WORDS),
    (CHANGED, "square-open-dot", "changed in this tick"),
)


def config(name: str) -> dict:
    """Options of the chart's toolbar: PNG under a telling name, no link to anybody's cloud."""
    return {"displaylogo": False, "toImageButtonOptions": {"format": "png", "filename": f"pagingviz-{name}", "scale": 2}}


def colorscale(palette: Palette) -> list[list]:
    """One flat step for each fill code 0..31, for zmin=-0.5, zmax=31.5."""
    steps = []
    for code in range(CODES):
        colour = palette.fill(code if code in FILL_CODES else BLANK)
        steps += [[code / CODES, colour], [(code + 1) / CODES, colour]]
    return steps


def heatmap(cells: np.ndarray, plan: Plan, theme: str, subtitle: str = "") -> go.Figure:
    """The grid uint16[height, width] of `plan` as a zoomable heatmap: z fill codes, text letters, markers flags."""
    palette = PALETTES[theme]
    height, width = cells.shape
    fills = (cells & FILL_MASK).astype(np.uint8)
    letters = np.array(list(LETTERS))[cells >> LETTER_SHIFT & LETTER_MASK]
    gap = 1 if width <= LETTERS_UP_TO else 0
    figure = go.Figure(
        go.Heatmap(
            z=fills,
            zmin=-0.5,
            zmax=CODES - 0.5,
            colorscale=colorscale(palette),
            showscale=False,
            xgap=gap,
            ygap=gap,
            text=letters,
            texttemplate="%{text}" if width <= LETTERS_UP_TO else None,
            textfont={"family": "monospace"},
            hovertext=_hover(cells, plan),
            hovertemplate="%{hovertext}<br>row %{y}, column %{x}<extra></extra>",
        )
    )
    for bit, symbol, name in _FLAGS:
        y, x = np.nonzero(cells & bit)
        if x.size and width <= LETTERS_UP_TO:
            figure.add_scatter(
                x=x,
                y=y,
                mode="markers",
                name=name,
                hoverinfo="skip",
                marker={"symbol": symbol, "size": 14, "color": palette.text, "line": {"width": 2}},
            )
    side = min(LARGEST_CELL, WIDTH // width)
    figure.update_layout(
        layout(palette),
        title={"text": f"{plan.title}<br><sub>{subtitle or plan.unit}</sub>"},
        height=max(220, side * height + 110),
        showlegend=len(figure.data) > 1,
    )
    rows = [row for row, _ in plan.labels]
    figure.update_yaxes(
        autorange="reversed",
        scaleanchor="x",
        constrain="domain",
        showgrid=False,
        zeroline=False,
        tickvals=rows or None,
        ticktext=[text for _, text in plan.labels] or None,
    )
    figure.update_xaxes(constrain="domain", showgrid=False, zeroline=False)
    return figure


def _hover(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """The legend's words for every cell: object (h, w)."""
    by_letter = {letter: text for letter, _, text in reversed(plan.legend) if letter.strip()}
    by_fill = {fill: text for _, fill, text in reversed(plan.legend)}
    out = np.empty(cells.shape, object)
    for word in np.unique(cells).tolist():
        letter, fill = LETTERS[word >> LETTER_SHIFT & LETTER_MASK], word & FILL_MASK
        words = [by_letter.get(letter) or by_fill.get(fill) or ("in use" if fill >= AGE_YOUNGEST else "nothing here")]
        words += [name for bit, _, name in _FLAGS if word & bit]
        out[cells == word] = f"<b>{letter}</b> {', '.join(words)}" if letter.strip() else ", ".join(words)
    return out


def history(ticks: np.ndarray, series: dict[str, np.ndarray], names: tuple[str, ...], now: int, theme: str) -> go.Figure:
    """Curves of `series` (int64[n] each, sampled at `ticks`) under their counter names, with a line at the present tick."""
    palette = PALETTES[theme]
    figure = go.Figure()
    for k, name in enumerate(names):
        figure.add_scatter(
            x=ticks,
            y=series[name],
            name=name,
            mode="lines",
            line_shape="hv",
            line={"color": LINES[theme][k % 3], "dash": DASHES[(k + k // 3) % 3], "width": 2},
        )
    figure.add_vline(
        x=now,
        line={"color": palette.text, "width": 1, "dash": "dot"},
        annotation_text=f"tick {now:,}",
        annotation_position="bottom left",
    )
    figure.update_layout(
        layout(palette),
        height=290,
        showlegend=True,
        hovermode="x unified",
        title={"text": "History, sampled up to the furthest tick"},
    )
    figure.update_xaxes(title={"text": "tick", "font_size": 13}, gridcolor=palette.hatch, zeroline=False, tickformat=",d")
    figure.update_yaxes(gridcolor=palette.hatch, zeroline=False, rangemode="tozero", tickformat=",d")
    return figure


def pool_curve(points: Sequence[Point], cliff: tuple[Point, Point] | None, pool: int, ticks: int, theme: str) -> go.Figure:
    """Shadow faults against pool size (poolsize.Point each), the cliff shaded, a line at the present size."""
    palette = PALETTES[theme]
    alive = [point for point in points if not point.crashed]
    dead = [point for point in points if point.crashed]
    figure = go.Figure()
    figure.add_scatter(
        x=[p.pool for p in alive],
        y=[p.faults for p in alive],
        name="shadow faults",
        mode="lines+markers",
        line={"color": LINES[theme][0], "width": 2},
        marker={"size": 8},
        customdata=[p.recycled for p in alive],
        hovertemplate="%{x} pages: %{y:,} faults, %{customdata:,} recyclings<extra></extra>",
    )
    if dead:
        figure.add_scatter(
            x=[p.pool for p in dead],
            y=[0] * len(dead),
            name="the domain dies",
            mode="markers",
            marker={"symbol": "x", "size": 11, "color": LINES[theme][1]},
            hoverinfo="x+name",
        )
    if cliff:
        figure.add_vrect(
            x0=cliff[0].pool,
            x1=cliff[1].pool,
            fillcolor=palette.hatch,
            opacity=0.6,
            line_width=0,
            layer="below",
            annotation_text="cliff",
            annotation_position="top left",
        )
    figure.add_vline(
        x=pool,
        line={"color": palette.text, "width": 1, "dash": "dot"},
        annotation_text=f"{pool} pages",
        annotation_position="top right",
    )
    figure.update_layout(
        layout(palette),
        height=320,
        showlegend=bool(dead),
        title={"text": f"Shadow faults of the first {ticks:,} ticks against pool size"},
    )
    figure.update_xaxes(
        title={"text": "pages of the pool", "font_size": 13},
        gridcolor=palette.hatch,
        zeroline=False,
        tickformat=",d",
        rangemode="tozero",
    )
    figure.update_yaxes(gridcolor=palette.hatch, zeroline=False, rangemode="tozero", tickformat=",d")
    return figure


def ledger(entries: Sequence[Entry], by: str, here: Entry, crossings: Sequence[tuple[Entry, Entry]], theme: str) -> go.Figure:
    """Cycles of both roads (ledger.Entry each) against `by`, a field of Entry; a line at the entry `here`, crossings shaded."""
    palette = PALETTES[theme]
    alive = [entry for entry in entries if not entry.crashed]
    x = [getattr(entry, by) for entry in alive]
    figure = go.Figure()
    for k, (name, words) in enumerate((("blow", "blow and rebuild: what Xen does"), ("revoke", "search all shadows"))):
        sides = [getattr(entry, name) for entry in alive]
        for part, width, more in ((1, 1, ", in the pause alone"), (0, 3, "")):
            y = [side.cycles()[0] if part else sum(side.cycles()) for side in sides]
            figure.add_scatter(
                x=x,
                y=y,
                name=words + more,
                mode="lines+markers",
                marker={"size": 4 if part else 8},
                line={"color": LINES[theme][k], "width": width, "dash": DASHES[2 if part else 0]},
                hovertemplate=words + more + ": %{y:,} cycles<extra></extra>",
            )
    for a, b in crossings:
        figure.add_vrect(
            x0=getattr(a, by),
            x1=getattr(b, by),
            fillcolor=palette.hatch,
            opacity=0.6,
            line_width=0,
            layer="below",
            annotation_text="crossover",
            annotation_position="top right",
        )
    figure.add_vline(
        x=getattr(here, by),
        line={"color": palette.text, "width": 1, "dash": "dot"},
        annotation_text="chosen",
        annotation_position="top left",
    )
    what = {"write": "percent of accesses that write", "pool": "pages of the pool", "ticks": "ticks of a round"}[by]
    figure.update_layout(
        layout(palette),
        height=380,
        showlegend=True,
        hovermode="x unified",
        title={"text": f"Cycles of the CLEANs and the rounds after them, against {what}"},
    )
    figure.update_layout(margin_b=110)
    figure.update_xaxes(
        title={"text": what, "font_size": 13},
        gridcolor=palette.hatch,
        zeroline=False,
        type="log" if by == "ticks" else "linear",
    )
    figure.update_yaxes(gridcolor=palette.hatch, zeroline=False, rangemode="tozero")
    return figure


def dirty_tree(pages: Sequence[TreePage], theme: str) -> go.Figure:
    """The tree's pages (reading.dirty_tree) as rows of an icicle, root above; a leaf's colour says how many bits are set."""
    palette = PALETTES[theme]
    most = max([page.used for page in pages if page.level == 1], default=0) or 1
    share = [page.used / most if page.level == 1 else None for page in pages]
    fills = [palette.fill(TABLE) if part is None else age_colour(part) for part in share]
    text = [
        f"<span style='color:{ink_on(fill)}'>{page.name}, pool page {page.page:#x}<br>gfn {page.first:#x} on: "
        + (f"{page.used:,} bits" if page.level == 1 else f"{page.used} entr{'ies' if page.used > 1 else 'y'}")
        + "</span>"
        for page, fill in zip(pages, fills, strict=True)
    ]
    figure = go.Figure(
        go.Icicle(
            ids=[str(k) for k in range(len(pages))],
            labels=text,
            parents=["" if p.parent < 0 else str(p.parent) for p in pages],
            tiling={"orientation": "v"},
            sort=False,
            marker={"colors": fills, "line": {"color": palette.ground, "width": 2}},
            insidetextfont={"size": 14},
            textinfo="label",
            pathbar={"visible": False},
            hoverinfo="skip",
        )
    )
    figure.update_layout(layout(palette), height=250, margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def layout(palette: Palette) -> dict:
    """What all figures share: colours, type, margins."""
    return {
        "paper_bgcolor": palette.ground,
        "plot_bgcolor": palette.ground,
        "font": {"color": palette.text, "size": 13, "family": "Source Sans, sans-serif"},
        "title_font_size": 16,
        "title_x": 0.01,
        "margin": {"l": 64, "r": 16, "t": 44, "b": 76},
        "hoverlabel": {"bgcolor": palette.ground, "font": {"color": palette.text}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": palette.muted, "activecolor": palette.accent},
        # Below everything: above the plot it would lie under the toolbar, and on a phone under the title.
        "legend": {"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "template": "none",
    }
