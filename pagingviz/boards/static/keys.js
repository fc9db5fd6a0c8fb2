// The keys of every page. They are heard on the document, so that they work wherever the pointer is.
import { movesCursor } from "./cursor.js";

const ACTIONS = {
  " ": "toggle", ArrowLeft: "back", ArrowRight: "step", Home: "home", End: "end",
  n: "next", p: "prev", m: "micro", e: "explain", Escape: "unpin", "?": "greet",
};
const WALK = { ArrowDown: "deeper", ArrowUp: "higher" }; // only where a walk is shown: elsewhere they scroll the page
const ONCE = new Set(["toggle", "home", "end", "unpin", "greet"]); // holding the key down does not repeat these
const OWN_KEYS = "input, textarea, select, [contenteditable=''], [contenteditable=true], [role=slider], [role=textbox], "
  + "[role=combobox], [role=listbox], [role=option], [role=radio], [role=tab], [role=menuitem], [role=grid]";

const CHOICES = "[role=radio], [role=tab], input[type=radio]";

/**
 * Does this element use the key itself? A control reached with Tab does; a choice made with the mouse (`pointed`) leaves the
 * keys to the board.
 */
export function usesKeys(element, key, pointed) {
  if (!(element instanceof Element) || element.matches("input[type=range][data-board-scrubber]")) return false;
  if (pointed && element.closest(CHOICES)) return false;
  if (element.matches("canvas[data-board]")) return movesCursor(key);
  if (element.closest(OWN_KEYS)) return true;
  return key === " " && element.matches("button:focus-visible, a:focus-visible, summary");
}

/** The name of what a key does, null for a key that is not ours; `walks`: a walk is shown. A digit chooses a board. */
export function actionOf(key, walks) {
  if (digitOf(key)) return "choose";
  return ACTIONS[key.length === 1 ? key.toLowerCase() : key] ?? (walks ? WALK[key] : null) ?? null;
}

/** The number of a key from 1 to 9, null for any other key. */
const digitOf = (key) => (/^[1-9]$/.test(key) ? Number(key) : null);

/**
 * Calls `act(name, value)` for every key of ours: the value of a digit is its number, that of E is -1 with Shift, else 1.
 * `walks()`: is a walk shown? Returns the function that stops listening.
 */
export function listen(act, walks) {
  let pointed = false; // the mouse was used after the last Tab
  const onPointer = () => { pointed = true; };
  const onKey = (event) => {
    if (event.key === "Tab") pointed = false;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const name = actionOf(event.key, walks());
    const [element] = event.composedPath();
    if (!name || usesKeys(element, event.key, pointed)) return;
    if (name !== "unpin" && name !== "choose") event.preventDefault();
    if (element instanceof Element && element.closest(CHOICES)) event.stopPropagation(); // it would change its choice as well
    if (!(event.repeat && ONCE.has(name))) act(name, name === "explain" ? (event.shiftKey ? -1 : 1) : digitOf(event.key));
  };
  // A focused button would be pressed when Space goes up.
  const onUp = (event) => {
    if (event.key === " " && !usesKeys(event.composedPath()[0], " ", pointed)) event.preventDefault();
  };
  const listeners = { pointerdown: onPointer, keydown: onKey, keyup: onUp };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener, true); // before the page's own controls
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener, true);
  };
}
