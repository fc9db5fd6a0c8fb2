// While Streamlit changes pages nothing is asked: an ask would name the old page, which then came back half drawn.
const HOLD_MS = 10000; // a change of page takes less, also on a busy server; the new board ends the wait
const PAGE_LINK = '[data-testid="stSidebarNavLink"]';

const leave = () => { window.pagingvizLeaving = performance.now() + HOLD_MS; }; // the follower (ui/follow.py) reads it too
document.addEventListener("click", (event) => {
  const link = event.composedPath().find((node) => node instanceof Element && node.matches(PAGE_LINK));
  if (link && new URL(link.href).pathname !== location.pathname) leave(); // the link of this very page leads nowhere
}, true);
addEventListener("popstate", leave);

/** A new board stands: its page is the page now. */
export function arrived() {
  window.pagingvizLeaving = 0;
}

/** Milliseconds for which nothing may be asked; 0 when all is well. */
export function held() {
  return Math.max(0, (window.pagingvizLeaving ?? 0) - performance.now());
}
