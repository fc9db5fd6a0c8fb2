// What a screen reader is to say of cells, cards and words: one live region, which says only what has stood for a moment.
import { el, setText } from "./dom.js";

const REST_MS = 250; // a text that is followed by another one so soon is not said: keys that are held down go over many cells

export class Aloud {
  constructor() {
    this.node = el("p", { class: "unseen aloud", "aria-live": "polite", "aria-atomic": "true" });
  }

  say(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.node, text), REST_MS);
  }

  close() {
    clearTimeout(this.timer);
  }
}
