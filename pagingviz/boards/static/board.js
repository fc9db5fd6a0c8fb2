// The entry for Streamlit: one LiveBoard for each element that the component stands in, with its style sheet.
// pagingviz/ui/board.py calls `show` and `leave`.
import { LiveBoard } from "./live_board.js";

const boards = new WeakMap(); // host element -> its LiveBoard
let style;

/** Give a shadow root the board's style sheet, which is fetched once beside this file. */
function addStyle(shadow) {
  style ??= fetch(new URL("board.css", import.meta.url)).then((answer) => answer.text()).then((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  return style.then((sheet) => {
    if (!shadow.adoptedStyleSheets.includes(sheet)) shadow.adoptedStyleSheets = [...shadow.adoptedStyleSheets, sheet];
  });
}

/** Streamlit calls this for every message and for every rerun. */
export async function show({ parentElement, data, setTriggerValue }) {
  await addStyle(parentElement);
  const host = parentElement.querySelector(".pagingviz");
  if (!host || !data) return;
  let board = boards.get(host);
  if (!board) boards.set(host, (board = new LiveBoard(host)));
  board.channel.emit = (ask) => setTriggerValue("ask", ask);
  board.receive(data);
}

/** Streamlit's clean-up, which also runs when a newer message overtakes an older one: only a board that is gone is left. */
export function leave(parentElement) {
  setTimeout(() => {
    const host = parentElement.querySelector(".pagingviz");
    const board = boards.get(host);
    if (board && !host.isConnected) board.leave(), boards.delete(host);
  }, 0);
}
