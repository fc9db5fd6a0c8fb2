// What is written about one cell: the card of the inspector, and the lens that follows the pointer.
import { dressAsCell } from "./colours.js";
import { el } from "./dom.js";

/** The decoded contents of a cell as nodes: title, chain, rows, why. `jump(tick)` goes to the moment that made it so. */
function contents(found, jump) {
  const parts = [];
  if (found.chain?.length) parts.push(el("ol", { class: "chain" }, ...found.chain.map((step) => el("li", {}, String(step)))));
  if (found.rows?.length) {
    parts.push(el("dl", {}, ...found.rows.flatMap(([name, value]) => [el("dt", {}, String(name)), el("dd", {}, String(value))])));
  }
  if (found.why) {
    parts.push(el("h4", {}, "Why?"), el("p", { class: "why" }, found.why,
      found.why_tick == null ? "" : el("button", { type: "button", class: "link", onclick: () => jump(found.why_tick) }, `show tick ${found.why_tick}`)));
  }
  return parts.filter(Boolean);
}

export class Inspector {
  constructor({ jump, close }) {
    this.jump = jump;
    this.title = el("h3");
    this.body = el("div", { class: "body" });
    this.node = el("aside", { class: "card", "aria-label": "Inspector" },
      el("header", {}, this.title, el("button", { type: "button", class: "close", title: "Close (Esc)", "aria-label": "Close", onclick: close }, "×")),
      this.body);
    this.show(null);
  }

  /** `found` of the header's "inspect", or null for the hint. */
  show(found, pinned = false) {
    const text = JSON.stringify(found);
    this.node.classList.toggle("empty", !found);
    this.node.classList.toggle("pinned", pinned);
    if (text === this.text) return;
    this.text = text;
    this.title.textContent = found ? found.title : "Inspector";
    this.body.replaceChildren(...(found ? contents(found, this.jump)
      : [el("p", { class: "hint" }, "Point at a cell to see what it is. Click it to keep it: its bits, the chain gva → gpa → mpa, and why it is so.")]));
  }
}

export class Lens {
  constructor() {
    this.letter = el("span", { class: "swatch" });
    this.text = el("strong");
    this.where = el("span", { class: "where" });
    this.more = el("div", { class: "more" });
    this.node = el("div", { class: "lens", hidden: true }, this.letter, el("div", {}, this.text, this.where, this.more));
  }

  /** Beside the pointer at (x, y) of the window; `about` of Panel.describe, `found` of Python when it has answered, else null. */
  show(about, palette, x, y, found) {
    this.letter.textContent = about.letter;
    dressAsCell(this.letter, palette, about.code);
    this.letter.classList.toggle("hatched", about.absent);
    this.text.textContent = [about.text, ...about.notes].join(" · ");
    this.where.textContent = found ? found.title : about.where;
    this.more.textContent = found?.chain?.length ? found.chain.at(-1) : "";
    this.node.hidden = false;
    const { offsetWidth: w, offsetHeight: h } = this.node;
    this.node.style.left = `${x + 18 + w > innerWidth ? x - w - 14 : x + 18}px`;
    this.node.style.top = `${y + 18 + h > innerHeight ? y - h - 14 : y + 18}px`;
  }

  hide() {
    this.node.hidden = true;
  }
}
