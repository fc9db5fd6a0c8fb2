"""The rows of a recording beside the model's: a component of its own, since a row is chosen by a click or by keys.

It draws a real table (for screen readers too) and sends the number of the chosen row back. Agreement is a sign and a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pagingviz.boards.palette import PALETTES

_HTML = """<div class="rows" tabindex="0" role="group" aria-label="Rows of the recording">
<table><thead></thead><tbody></tbody></table></div>"""
_COLOURS = f"""
.rows {{ {PALETTES["light"].css()} }}
.rows[data-theme="dark"] {{ {PALETTES["dark"].css()} }}
"""
_CSS = """
.rows {
  height: var(--tall, 560px); overflow: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--panel);
  color: var(--text); font: 400 13px/17px var(--st-font, "Source Sans", sans-serif); scrollbar-gutter: stable;
}
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th { position: sticky; top: 0; z-index: 1; padding: 5px 8px; background: var(--panel); box-shadow: 0 1px 0 var(--line);
  text-align: left; font-weight: 650; }
th.mark, td.mark { width: 34px; padding: 3px 0; text-align: center; }
td { padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tr { cursor: pointer; outline-offset: -2px; }
tr.step td { background: var(--soft); }
tr.step td b { font-weight: 650; }
tr:hover td { background: var(--soft); }
tr[aria-selected="true"] td { box-shadow: inset 0 2px 0 var(--accent), inset 0 -2px 0 var(--accent); }
tr[aria-selected="true"] td:first-child { box-shadow: inset 3px 2px 0 var(--accent), inset 0 -2px 0 var(--accent); }
tr[aria-selected="true"] td:last-child { box-shadow: inset -3px 2px 0 var(--accent), inset 0 -2px 0 var(--accent); }
.flags { display: block; color: var(--muted); font-size: 12px; line-height: 15px; }
.no { font-weight: 700; color: var(--differs); }
.line { color: var(--muted); font-size: 12px; margin-right: 6px; }
"""
_JS = """
const pages = new WeakMap();
function cell(tag, text, flags, more) {
  const node = document.createElement(tag);
  if (more) node.append(more);
  node.append(text);
  if (flags) {
    const span = document.createElement("span");
    span.className = "flags";
    span.textContent = flags.replaceAll("|", " | ");
    node.append(span);
  }
  return node;
}
export default function ({ parentElement, data, setTriggerValue }) {
  const box = parentElement.querySelector(".rows");
  const page = pages.get(box) ?? {};
  pages.set(box, page);
  page.send = (row) => setTriggerValue("row", row);
  box.dataset.theme = data.theme;
  const fit = () => {
    const rest = innerHeight - box.getBoundingClientRect().top - document.scrollingElement.scrollTop - 14;
    box.style.setProperty("--tall", `${Math.max(320, rest)}px`);
  };
  fit();
  if (!page.watch) { // what stood above it, a progress bar perhaps, may go a moment later
    page.watch = new ResizeObserver(fit);
    page.watch.observe(document.querySelector('[data-testid="stMainBlockContainer"]') ?? document.body);
  }
  if (data.name !== page.name) {
    page.name = data.name;
    page.seen = null;
    const head = document.createElement("tr");
    data.heads.forEach((text, k) => {
      const th = cell("th", text);
      th.scope = "col";
      if (k === 1) th.className = "mark";
      head.append(th);
    });
    box.querySelector("thead").replaceChildren(head);
    const rows = data.rows.map(([number, line, step, recorded, mark, model]) => {
      const tr = document.createElement("tr");
      tr.dataset.row = number;
      tr.tabIndex = -1;
      if (step) tr.className = "step";
      const [a, fa] = recorded.split(" · "), [b, fb] = model.split(" · ");
      const where = document.createElement("span");
      where.className = "line";
      where.textContent = step && line ? `line ${line}` : "";
      const left = cell("td", a, fa, step ? where : null);
      if (step && !mark) left.colSpan = 3;
      tr.append(left);
      if (!(step && !mark)) {
        const sign = cell("td", mark === "equal" ? "\u2713" : mark === "differs" ? "\u2260" : "");
        sign.className = mark === "differs" ? "mark no" : "mark";
        sign.title = mark;
        sign.setAttribute("aria-label", mark);
        tr.append(sign, cell("td", b, fb));
      }
      return tr;
    });
    box.querySelector("tbody").replaceChildren(...rows);
  }
  box.onclick = (event) => {
    const tr = event.target.closest("tbody tr");
    if (tr) page.send(Number(tr.dataset.row));
  };
  box.onkeydown = (event) => { // Up and Down choose the row before and after
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const all = [...box.querySelectorAll("tbody tr")];
    const next = all[all.findIndex((tr) => tr.getAttribute("aria-selected") === "true") + by];
    if (next) page.send(Number(next.dataset.row));
  };
  if (data.chosen !== page.seen) {
    page.seen = data.chosen;
    for (const tr of box.querySelectorAll("tbody tr")) {
      const chosen = Number(tr.dataset.row) === data.chosen;
      tr.setAttribute("aria-selected", String(chosen));
      if (!chosen) continue;
      const top = tr.offsetTop - 40, low = tr.offsetTop + tr.offsetHeight + 20;
      if (top < box.scrollTop || low > box.scrollTop + box.clientHeight) box.scrollTop = top - 60;
    }
  }
}
"""
_component = st.components.v2.component("pagingviz.rows", html=_HTML, css=_COLOURS + _CSS, js=_JS)


def rows(
    name: str, heads: Sequence[str], data: Sequence[Sequence], chosen: int, theme: str, key: str, on_row: Callable[[], None]
) -> None:
    """Place the table. data: [number, line, is a step, recorded, "equal" | "differs" | "", model]; `name` changes with it."""
    message = {"name": name, "heads": list(heads), "rows": [list(row) for row in data], "chosen": chosen, "theme": theme}
    _component(key=key, data=message, height="content", on_row_change=on_row)


def chosen_row(key: str) -> int | None:
    """The row that was chosen in this run."""
    state = st.session_state.get(key)
    row = state.get("row") if state else None
    return row if isinstance(row, int) and not isinstance(row, bool) else None
