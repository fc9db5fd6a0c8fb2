// What is written about one cell: the card of the inspector, and the lens that follows the pointer.
import { dressAsCell } from "./colours.js";
import { el } from "./dom.js";
import { explain } from "./tip.js";

/** What led to the state of a cell (player.Told.wire) as nodes: the moments, the newest first, each with a way there. */
function causes({ heading, chain, back }, on) {
  const show = (tick, words = "show") => el("button", { type: "button", class: "link", onclick: () => on.jump(tick) }, `${words} tick ${tick}`);
  const links = chain.map(({ tick, text, source }) => {
    const words = el("span");
    on.write(words, text);
    return el("li", {}, words, ...(source ? [el("span", { class: "source" }, source)] : []), show(tick));
  });
  const home = back == null ? [] : [el("p", { class: "return" }, show(back, "back to"))];
  return [el("h4", {}, heading), el("ol", { class: "causes" }, ...links), ...home];
}

/**
 * The decoded contents of a cell as nodes: why, chain, rows. `on` = {jump(tick): goes to the moment that made it so,
 * ask(): asks since when it is so and what led to it, mayAsk(): whether that can be asked,
 * write(node, text): writes a text with its words of the glossary, about(): what the glossary says, by label}.
 */
function contents(found, on) {
  const texts = (tag, list) => list.map((text) => {
    const node = el(tag);
    on.write(node, String(text));
    return node;
  });
  const parts = [];
  if (found.why) {
    const [why] = texts("p", [found.why]);
    why.className = "why";
    if (found.why_tick != null) {
      why.append(el("button", { type: "button", class: "link", onclick: () => on.jump(found.why_tick) }, `show tick ${found.why_tick}`));
    }
    parts.push(el("h4", {}, "Why?"), why);
  }
  if (found.because) parts.push(...causes(found.because, on));
  else if (on.mayAsk()) parts.push(el("button", { type: "button", class: "ask", onclick: on.ask }, "Since when, and what led to it?"));
  if (found.chain?.length) parts.push(el("ol", { class: "chain" }, ...texts("li", found.chain)));
  if (found.rows?.length) {
    parts.push(el("dl", {}, ...found.rows.flatMap(([name, value]) => {
      const label = el("dt", {}, el("span", {}, String(name)));
      explain(label.firstChild, on.about()[name]);
      return [label, el("dd", {}, String(value))];
    })));
  }
  return parts;
}

/** The same as one text, for a screen reader. */
export function inOneText({ title, why, because, chain, rows }) {
  const led = because && `${because.heading}. ${because.chain.map((link) => link.text).join(" ")}`;
  const told = [title, why && `Why? ${why}`, led, chain?.join("; "), rows?.map(([name, value]) => `${name}: ${value}`).join("; ")];
  return told.filter(Boolean).map((text) => text.replace(/\.?$/, ".")).join(" ");
}

export class Inspector {
  /** `on`: as for contents(), and close(): the card shall go. */
  constructor(on) {
    this.on = on;
    this.title = el("h3");
    this.body = el("div", { class: "body", role: "group", "aria-label": "Card", onscroll: () => this.measure() });
    this.longer = el("button", { type: "button", class: "longer", hidden: true, onclick: () => this.readOn() }, "more below ▾");
    this.node = el("aside", { class: "card", "aria-label": "Inspector" },
      el("header", {}, this.title, el("button", { type: "button", class: "close", "aria-label": "Close (Esc)", onclick: on.close }, "×")),
      this.body, this.longer);
    new ResizeObserver(() => this.measure()).observe(this.body);
    this.show(null);
  }

  /** `found` of the header's "inspect", or null for the hint. */
  show(found, pinned = false) {
    const text = JSON.stringify([found, pinned]);
    this.node.classList.toggle("empty", !found);
    this.node.classList.toggle("pinned", pinned);
    if (text === this.text) return;
    this.text = text;
    this.title.textContent = found ? found.title : "Inspector";
    this.body.replaceChildren(...(found ? contents(found, this.on)
      : [el("p", { class: "hint" }, "Point at a cell to see what it is. Click it to keep it: why it is so, its way from address to memory, and its bits.")]));
    this.body.scrollTop = 0;
    this.showCauses();
    this.measure();
  }

  /** In a low card scroll down to what led to the state of the cell: it was asked for. */
  showCauses() {
    const first = this.body.querySelector(".causes li"), heading = first?.parentElement.previousElementSibling;
    if (!first) return;
    const { top, bottom } = this.body.getBoundingClientRect();
    if (first.getBoundingClientRect().bottom > bottom) this.body.scrollTop += heading.getBoundingClientRect().top - top;
  }

  /** Show whether there is more below what is seen. A card that can be scrolled can be reached, to scroll it with keys. */
  measure() {
    const { scrollTop, scrollHeight, clientHeight } = this.body;
    this.longer.hidden = scrollHeight - scrollTop - clientHeight < 4;
    if (scrollHeight > clientHeight) this.body.tabIndex = 0;
    else this.body.removeAttribute("tabindex");
  }

  readOn() {
    this.body.scrollBy({ top: this.body.clientHeight * 0.8 });
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
