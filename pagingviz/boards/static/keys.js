// The keys of every page. They listen on the document, so that they work wherever the pointer is.

const ACTIONS = {
  " ": "toggle", ArrowLeft: "back", ArrowRight: "step", Home: "home", End: "end",
  n: "next", p: "prev", m: "micro", Escape: "unpin",
};
const WALK = { ArrowDown: "deeper", ArrowUp: "higher" }; // only where a walk is shown: elsewhere they scroll the page
const ONCE = new Set(["toggle", "home", "end", "unpin"]); // holding the key down does not repeat these
const OWN_KEYS = "input, textarea, select, [contenteditable=''], [contenteditable=true], [role=slider], [role=textbox], "
  + "[role=combobox], [role=listbox], [role=option], [role=radio], [role=tab], [role=menuitem], [role=grid]";

const CHOICES = "[role=radio], [role=tab], input[type=radio]";

/** Does this element use the keys itself? A control reached with Tab does; a choice made with the mouse gives them back. */
function keepsKeys(element, key, pointed) {
  if (!(element instanceof Element) || element.matches("input[type=range][data-board-scrubber]")) return false;
  if (pointed && element.closest(CHOICES)) return false;
  if (element.closest(OWN_KEYS)) return true;
  return key === " " && element.matches("button:focus-visible, a:focus-visible, summary");
}

/** Calls `act(name, digit)` for every key of ours; `walks()`: is a walk shown? Returns the function that stops listening. */
export function listen(act, walks) {
  let pointed = false; // the mouse was used after the last Tab
  const onPointer = () => { pointed = true; };
  const onKey = (event) => {
    if (event.key === "Tab") pointed = false;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : null; // presenter mode: which board
    const name = digit ? "choose" : ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key]
      ?? (walks() ? WALK[event.key] : undefined);
    const [element] = event.composedPath();
    if (!name || keepsKeys(element, event.key, pointed)) return;
    if (name !== "unpin" && !digit) event.preventDefault();
    if (element instanceof Element && element.closest(CHOICES)) event.stopPropagation(); // it would move its choice as well
    if (!(event.repeat && ONCE.has(name))) act(name, digit);
  };
  // A focused button would be pressed when Space goes up.
  const onUp = (event) => {
    if (event.key === " " && !keepsKeys(event.composedPath()[0], " ", pointed)) event.preventDefault();
  };
  const ears = { pointerdown: onPointer, keydown: onKey, keyup: onUp };
  for (const [name, ear] of Object.entries(ears)) document.addEventListener(name, ear, true); // before the page's own controls
  return () => {
    for (const [name, ear] of Object.entries(ears)) document.removeEventListener(name, ear, true);
  };
}
