// The tooltip: what the glossary says of a word, beside the word, when somebody points at it, taps it or comes to it with the
// key E. Tab stops at no word, since there are too many; at a button or a select, which have a tooltip too, it stops anyway.
import { el } from "./dom.js";

const OPEN_MS = 250, CLOSE_MS = 150; // the pointer rests this long on a word, and may be away this long
const GAP = 6, MARGIN = 8; // px between word and tooltip, and from there to the edge of the window
const CONTROLS = "button, select, input"; // can be reached anyway, and have something else to do when they are clicked
const GOING_ON = new Set(["e", "E", "Shift"]); // any other key closes what E has opened

const known = new WeakMap(); // element -> function that returns its lines, [[word, text], ...]
const written = new WeakMap(); // element -> what stands in it, as one text

/** Let `node` open `lines` of the glossary, [[word, text], ...]; none: nothing. A function may return them when it is asked. */
export function explain(node, lines) {
  const later = typeof lines === "function", has = later || !!lines?.length;
  if (has) known.set(node, later ? lines : () => lines);
  else known.delete(node);
  node.toggleAttribute("data-tip", has);
}

/** Let `node` open its own text where `box` has no room for all of it. */
export function explainCut(node, box = node) {
  explain(node, () => (box.scrollHeight > box.clientHeight + 1 ? [["", node.textContent]] : []));
}

/**
 * Write a text into `node`. The words that the glossary has in it are marked: `marks` = [[first character, character behind
 * it, word], ...], counted as Python counts; `about[word]`: its lines. A node that has the text already stays as it is.
 */
export function writeMarked(node, text, marks, about) {
  const whole = JSON.stringify([text, marks ?? []]);
  if (written.get(node) === whole) return;
  written.set(node, whole);
  const characters = Array.from(text), parts = [];
  let at = 0;
  for (const [first, behind, word] of marks ?? []) {
    const mark = el("dfn", {}, characters.slice(first, behind).join(""));
    explain(mark, about[word]);
    parts.push(characters.slice(at, first).join(""), mark);
    at = behind;
  }
  node.replaceChildren(...parts, characters.slice(at).join(""));
}

/** [left, top, most height] of a tooltip of w x h beside a box in a window: never over the box, never outside the window. */
export function placeBeside(box, w, h, width, height) {
  const below = height - box.bottom - GAP - MARGIN, above = box.top - GAP - MARGIN;
  const under = h <= below || below >= above;
  const most = Math.max(0, under ? below : above);
  const left = Math.max(MARGIN, Math.min((box.left + box.right - w) / 2, width - w - MARGIN));
  return [left, under ? box.bottom + GAP : box.top - GAP - Math.min(h, most), most];
}

export class Tip {
  /** The tooltip of everything in `root` that `explain` knows. */
  constructor(root) {
    this.node = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
    this.target = null; // the element that it explains now
    root.append(this.node);
    root.addEventListener("pointerover", (event) => event.pointerType !== "touch" && this.point(event.target));
    root.addEventListener("pointerleave", () => this.point(null));
    root.addEventListener("focusin", ({ target }) => target.matches("[data-tip]:focus-visible") && this.open(target));
    root.addEventListener("focusout", ({ target }) => target === this.target && this.close());
    root.addEventListener("click", ({ target }) => this.tap(target.closest("[data-tip]")));
    root.addEventListener("change", () => this.close()); // of a select: it means something else now
    this.listeners = { keydown: (event) => this.onKey(event), pointerdown: (event) => this.onPress(event), scroll: (event) => this.onScroll(event) };
    for (const [name, listener] of Object.entries(this.listeners)) addEventListener(name, listener, true); // before the player's keys
  }

  leave() {
    clearTimeout(this.timer);
    for (const [name, listener] of Object.entries(this.listeners)) removeEventListener(name, listener, true);
  }

  /** The pointer is over `element`, or over nothing of ours (null). It may go onto the tooltip, to read or to scroll it. */
  point(element) {
    clearTimeout(this.timer);
    const target = element?.closest("[data-tip]") ?? null;
    if (target === this.target || this.node.contains(element)) return;
    this.timer = setTimeout(() => (target ? this.open(target) : this.close()), target ? OPEN_MS : CLOSE_MS);
  }

  /** A tap or a click opens the tooltip, the next one closes it. */
  tap(target) {
    if (target && !target.matches(CONTROLS) && target !== this.pressed) this.open(target);
  }

  onPress(event) {
    if (event.composedPath().includes(this.node)) return;
    this.pressed = event.composedPath().includes(this.target) ? this.target : null;
    this.close();
  }

  /** Escape closes the tooltip, and nothing else then. */
  onKey(event) {
    if (!this.target) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    } else if (this.target.hasAttribute("data-told") && !GOING_ON.has(event.key)) this.close();
  }

  /**
   * Open the next (`by` = 1) or the last (-1) of these words behind the one that was opened last, and mark it on the page.
   * Returns what it says, "" where none of them says anything.
   */
  tell(words, by) {
    const telling = words.filter((word) => !word.matches(CONTROLS) && word.checkVisibility() && known.get(word)?.().length);
    if (!telling.length) return "";
    const last = telling.indexOf(this.told);
    const target = telling.at(last < 0 && by > 0 ? 0 : (Math.max(last, 0) + by) % telling.length);
    this.told = target;
    target.scrollIntoView({ block: "nearest", behavior: "instant" });
    requestAnimationFrame(() => { // the scrolling, which closes tooltips, is over
      this.open(target);
      if (this.target === target) target.setAttribute("data-told", "");
    });
    return [target.textContent, ...known.get(target)().map(([word, text]) => [word, text].filter(Boolean).join(": "))].join(". ");
  }

  onScroll(event) {
    if (!event.composedPath().includes(this.node)) this.close();
  }

  open(target) {
    clearTimeout(this.timer);
    const lines = target.isConnected ? known.get(target)?.() ?? [] : [];
    this.close();
    if (!lines.length) return;
    this.target = target;
    target.setAttribute("aria-describedby", this.node.id);
    this.node.replaceChildren(...lines.map(([word, text]) => el("p", {}, ...(word ? [el("b", {}, word), " "] : []), text)));
    this.node.hidden = false;
    this.place();
  }

  place() {
    const { style } = this.node;
    Object.assign(style, { left: 0, top: 0, maxHeight: "" });
    const { offsetWidth: w, offsetHeight: h } = this.node;
    const [left, top, most] = placeBeside(this.target.getBoundingClientRect(), w, h, innerWidth, innerHeight);
    Object.assign(style, { left: `${left}px`, top: `${top}px`, maxHeight: `${most}px` });
  }

  /** The page has changed: a word that is gone needs no explanation. */
  settle() {
    if (this.target && !this.target.isConnected) this.close();
  }

  close() {
    clearTimeout(this.timer);
    for (const name of ["aria-describedby", "data-told"]) this.target?.removeAttribute(name);
    this.target = null;
    this.node.hidden = true;
  }
}
