"""Machines side by side as a figure: how much more, or less, each of them has cost than the first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from pagingviz.boards.palette import PALETTES
from pagingviz.ui.figures import LINES, layout

_PATTERNS = ("", "/", ".")  # nothing depends on colour alone
_ROW, _AROUND = 17, 130  # px


def differences(rows: Sequence[tuple[str, tuple[int, ...]]], names: Sequence[str], unit: str, theme: str) -> go.Figure:
    """A bar for each row and machine. rows: (what, a difference for each machine but the first); names: of all machines."""
    palette = PALETTES[theme]
    figure = go.Figure()
    for k, name in enumerate(names[1:]):
        figure.add_bar(
            y=[what for what, _ in rows],
            x=[more[k] for _, more in rows],
            name=name,
            orientation="h",
            marker={"color": LINES[theme][k % 3], "pattern": {"shape": _PATTERNS[k % 3]}},
            hovertemplate="%{y}: %{x:+,} " + unit + f"<extra>{name}</extra>",
        )
    figure.add_vline(x=0, line={"color": palette.text, "width": 1})
    figure.update_layout(
        layout(palette),
        height=_AROUND + _ROW * len(rows) * max(len(names) - 1, 1) + 8 * len(rows),
        barmode="group",
        bargap=0.3,
        showlegend=True,
        title={"text": f"More or less than {names[0]}, in {unit}"},
    )
    figure.update_layout(margin_l=230)
    figure.update_xaxes(gridcolor=palette.hatch, zeroline=False, tickformat="+,d")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure
