// Changes of page. While Streamlit changes pages nothing is asked: an ask would name the old page, which then came back half
// drawn. And while something asked is on its way the page is not changed: Streamlit, hearing the end of one run and the
// beginning of the other page's at once, loses the other page's first elements. The click is made again when all is quiet.
const HOLD_MS = 10000; // a change of page takes less, also on a busy server; the new board ends the wait
const PAGE_LINK = '[data-testid="stSidebarNavLink"]';

const leave = () => { window.pagingvizLeaving = performance.now() + HOLD_MS; }; // the follower (ui/follow.py) reads it too
const asks = (window.pagingvizAsks ??= new Map()); // who asks -> since when; the follower's name is here too
const QUIET_MS = 120; // nothing has been asked for so long
const LONGEST_MS = 2000; // then the page is changed in any case
let again = null; // the link that is clicked by us

document.addEventListener("click", (event) => {
  const link = event.composedPath().find((node) => node instanceof Element && node.matches(PAGE_LINK));
  if (!link || new URL(link.href).pathname === location.pathname) return; // the link of this very page leads nowhere
  leave();
  if (again === link || event.ctrlKey || event.metaKey || event.shiftKey || !asks.size) {
    again = null;
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  const began = performance.now();
  let quiet = null;
  const wait = () => {
    const now = performance.now();
    quiet = asks.size ? null : quiet ?? now;
    if (now - began < LONGEST_MS && (quiet === null || now - quiet < QUIET_MS)) return setTimeout(wait, 20);
    again = link;
    link.click();
  };
  wait();
}, true);
addEventListener("popstate", leave);

/** A new board stands: its page is the page now. */
export function arrived() {
  window.pagingvizLeaving = 0;
}

/** Somebody has asked Python for something, or has been answered. */
export function asking(who, on) {
  if (on) asks.set(who, performance.now());
  else asks.delete(who);
}

/** Milliseconds for which nothing may be asked; 0 when all is well. */
export function msToWait() {
  return Math.max(0, (window.pagingvizLeaving ?? 0) - performance.now());
}
