"""Plotly figures of whole migrations: one work moved down every road. Pure."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pagingviz.figures import LINES, layout
from pagingviz.palette import PALETTES

_PANELS = (  # title, value of a report (moves.report), format
    ("pages sent again", lambda r: r["pages"] - r["rounds"][0]["sent"], ",d"),
    ("guest slowed by, %", lambda r: 100 * r["slowdown"], ".0f"),
    ("downtime, ms", lambda r: r["downtime"] / 1e3, ".2f"),
    ("total, ms", lambda r: r["total"] / 1e3, ".2f"),
)


def every_road(rows: list[dict], theme: str) -> go.Figure:
    """Four panels of bars, a road (moves.side_by_side) a bar; roads that cannot run are left out."""
    palette, able = PALETTES[theme], [row for row in rows if "error" not in row][::-1]
    figure = make_subplots(1, len(_PANELS), shared_yaxes=True, subplot_titles=[title for title, *_ in _PANELS],
                           horizontal_spacing=0.03)  # fmt: skip
    for k, (title, value, form) in enumerate(_PANELS):
        figure.add_bar(x=[value(row) for row in able], y=[row["name"] for row in able], orientation="h", row=1, col=k + 1,
                       marker={"color": LINES[theme][0], "line": {"color": palette.text, "width": 1}},
                       texttemplate=f"%{{x:{form}}}", textposition="auto", cliponaxis=False,
                       hovertemplate=f"%{{y}}: %{{x:{form}}} {title}<extra></extra>")  # fmt: skip
    figure.update_layout(layout(palette), height=300, showlegend=False, bargap=0.25, margin={"l": 100, "t": 64},
                         title={"text": "The same work and seed, moved down every road"})  # fmt: skip
    figure.update_xaxes(gridcolor=palette.hatch, zeroline=False, rangemode="tozero", nticks=4)
    figure.update_annotations(font={"size": 14, "color": palette.text})
    return figure
