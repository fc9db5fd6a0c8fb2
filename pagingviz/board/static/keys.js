// The keys of every page. They listen on the document, so that they work wherever the pointer is.

const ACTIONS = {
  " ": "toggle", ArrowLeft: "back", ArrowRight: "step", Home: "home", End: "end",
  n: "next", p: "prev", m: "micro", Escape: "unpin",
};
const ONCE = new Set(["toggle", "home", "end", "unpin"]); // holding the key down does not repeat these
const OWN_KEYS = "input, textarea, select, [contenteditable=''], [contenteditable=true], [role=slider], [role=textbox], "
  + "[role=combobox], [role=listbox], [role=option], [role=radio], [role=tab], [role=menuitem], [role=grid]";

/** Does this element use the keys itself? A control reached with Tab does; our own scrubber never does. */
function keepsKeys(element, key) {
  if (!(element instanceof Element) || element.matches("input[type=range][data-board-scrubber]")) return false;
  if (element.closest(OWN_KEYS)) return true;
  return key === " " && element.matches("button:focus-visible, a:focus-visible, summary");
}

/** Calls `act(name, digit)` for every key of ours. Returns the function that stops listening. */
export function listen(act) {
  const onKey = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : null; // presenter mode: which board
    const name = digit ? "choose" : ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!name || keepsKeys(event.composedPath()[0], event.key)) return;
    if (name !== "unpin" && !digit) event.preventDefault();
    if (!(event.repeat && ONCE.has(name))) act(name, digit);
  };
  // A focused button would be pressed when Space goes up.
  const onUp = (event) => {
    if (event.key === " " && !keepsKeys(event.composedPath()[0], " ")) event.preventDefault();
  };
  // A choice made with the mouse gives the keys back; one reached with Tab keeps its arrows.
  const onClick = (event) => {
    const choice = event.detail && event.composedPath().find((node) => node instanceof Element && node.matches("[role=radio], [role=tab]"));
    if (choice) setTimeout(() => choice.blur());
  };
  document.addEventListener("click", onClick, true); // captured: the choice may keep the event to itself
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", onUp);
  return () => {
    document.removeEventListener("click", onClick, true);
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("keyup", onUp);
  };
}
