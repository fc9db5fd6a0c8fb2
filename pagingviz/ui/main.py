"""The shell: page set-up, navigation, the visitor's machine, the sidebar, then the page. app.py starts it for every run."""

from pathlib import Path

import streamlit as st

from pagingviz.manual.pages import PAGES, script
from pagingviz.ui import follow, greeting, session, sidebar
from pagingviz.ui.site import site

HERE = Path(__file__).resolve().parent
ICONS = {  # by path
    "": ":material/grid_view:",
    "guest-page-tables": ":material/account_tree:",
    "shadow-pool": ":material/layers:",
    "ept-npt": ":material/stacks:",
    "dirty-bitmap": ":material/edit_square:",
    "translation": ":material/signpost:",
    "live-migration": ":material/move_down:",
    "side-by-side": ":material/compare:",
    "what-if": ":material/heart_broken:",
    "real-xen": ":material/fact_check:",
    "left-out": ":material/content_cut:",
    "manual": ":material/menu_book:",
}
PRESENT = '[data-testid="stSidebar"], [data-testid="stHeader"] { display: none; }'


def main() -> None:
    """One full run of the app for one visitor."""
    icon = (HERE / "icon.svg").read_text("utf-8")  # a Material icon would be fetched from another host
    st.set_page_config("pagingviz", icon, layout="wide", initial_sidebar_state="auto")
    visit = session.current()
    greeting.arrive(st.query_params.to_dict())
    visit.arrive(st.query_params.to_dict())
    css = (HERE / "style.css").read_text("utf-8")
    st.html(f"<style>{css}{PRESENT if visit.view.present else ''}</style>")
    pages = {
        path: st.Page(site() / "pages" / f"{script(path)}.py", title=title, icon=ICONS[path], url_path=path, default=not path)
        for path, title in PAGES.items()
    }
    page = st.navigation(list(pages.values()))
    follow.arrive(page.url_path)
    if page.url_path != "translation":
        visit.roads = None  # its machines are needed nowhere else
    if page.url_path != "side-by-side":
        visit.beside = None
    with st.sidebar:
        sidebar.draw(visit, pages, page.url_path)
    # Streamlit's navigation drops the query string: it is written again on every run.
    address = visit.address()
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)
    page.run()


main()
