// The greeting of the home page (texts: pagingviz/ui/greeting.py): a card below the maps, and on each map what it is. On a
// first visit it comes unasked; one click or key and it is gone for good, which only this browser remembers. "?" shows it again.
import { el } from "./dom.js";
import { actionOf } from "./keys.js";
import { explain } from "./tip.js";

const SEEN = "pagingviz-greeted"; // in the browser's local storage
const CLOSING = new Set(["Escape", "Enter"]); // these only close; a key of the board closes and does what it does
const MARGIN = 8; // px between the card and the end of the window

const remembered = () => {
  try {
    return localStorage.getItem(SEEN) !== null;
  } catch { // a browser that keeps nothing: better no greeting than one at each visit
    return true;
  }
};
const remember = () => {
  try {
    localStorage.setItem(SEEN, "1");
  } catch { /* nothing to be done */ }
};

export class Greeting {
  /** `view`: the View that it stands in. */
  constructor(view) {
    this.view = view;
    this.text = null; // of the newest header, null on a page that greets nobody
    this.notes = []; // one on each map
    this.node = null; // the card, while it stands
    this.button = el("button", { type: "button", class: "greet", "aria-label": "What is this?",
      onclick: () => this.toggle() }, el("kbd", {}, "?"));
    explain(this.button, [["", "What is this? (?)"]]);
    this.onKey = (event) => this.key(event);
    this.onPointer = (event) => { if (!event.composedPath().some((node) => node === this.node || node === this.button)) this.close(); };
    this.resized = new ResizeObserver(() => this.node && this.stand());
  }

  /** Take over the text of a header; show it to a newcomer. */
  apply({ greeting, present }) {
    this.text = greeting ?? null;
    this.button.hidden = !this.text;
    if (!this.text || present) return this.close(false);
    if (!this.button.isConnected) this.view.controls.node.append(this.button);
    if (this.node) this.write();
    else if (this.text.first && !this.asked && !remembered()) this.open();
    this.asked = true;
  }

  toggle() {
    if (this.node) this.close();
    else this.open();
  }

  open() {
    if (!this.text || this.node || this.view.root.classList.contains("present")) return;
    this.node = el("section", { class: "greeting", role: "dialog", "aria-labelledby": "greeting-question" },
      this.question = el("h2", { id: "greeting-question" }),
      this.here = el("p", {}),
      this.keys = el("ul", { "aria-label": "What to press" }),
      this.begin = el("button", { type: "button", onclick: () => this.close() }, "Begin", el("kbd", {}, "Esc")));
    this.view.root.append(this.node);
    for (const [id, { node }] of this.view.panels) {
      const note = el("p", { class: "note", id: `greeting-${id}`, "data-of": id });
      this.notes.push(note);
      node.querySelector("header").append(note);
    }
    this.view.root.classList.add("greeted"); // captions make room for the notes
    this.node.setAttribute("aria-describedby", this.notes.map((note) => note.id).join(" "));
    this.write();
    this.stand();
    addEventListener("keydown", this.onKey, true); // before the board's own keys, which the document hears
    addEventListener("pointerdown", this.onPointer, true);
    this.resized.observe(document.documentElement); // the window, and what the board is made of
    this.resized.observe(this.view.root);
    this.begin.focus({ preventScroll: true });
  }

  write() {
    const { question, here, keys, maps } = this.text;
    this.question.textContent = question;
    this.here.textContent = here;
    this.keys.replaceChildren(...keys.map(([key, words]) => el("li", {}, el("kbd", {}, key), words)));
    for (const note of this.notes) note.textContent = maps[note.dataset.of] ?? "";
  }

  /** As wide as the board, over its sentence or at the end of the window: no map makes room for it, and none moves when it goes. */
  stand() {
    const { left, width } = this.view.root.getBoundingClientRect();
    Object.assign(this.node.style, { left: `${left}px`, width: `${width}px` });
    const end = innerHeight - MARGIN - this.node.offsetHeight;
    const { top } = this.view.sentenceBox.getBoundingClientRect();
    this.node.style.top = `${Math.max(0, Math.min(top > end / 2 ? top : end, end))}px`;
  }

  /** `forGood`: the viewer has closed it, and need not be greeted again. */
  close(forGood = true) {
    if (!this.node) return;
    removeEventListener("keydown", this.onKey, true);
    removeEventListener("pointerdown", this.onPointer, true);
    this.resized.disconnect();
    for (const node of [this.node, ...this.notes]) node.remove();
    this.view.root.classList.remove("greeted");
    this.node = null;
    this.notes = [];
    if (!forGood) return;
    remember();
    this.view.refocus();
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (CLOSING.has(event.key)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (event.key === "?" || !actionOf(event.key, false)) return; // the board hears "?" itself
    this.close();
  }
}
