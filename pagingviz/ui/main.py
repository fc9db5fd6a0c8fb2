"""The shell: page set-up, navigation, the visitor's machine, the sidebar, then the page. app.py starts it for every run."""

from pathlib import Path

import streamlit as st

from pagingviz.ui import follow, session, sidebar
from pagingviz.ui.site import site

HERE = Path(__file__).resolve().parent
PAGES = (  # script, title, icon, path
    ("machine", "The machine", ":material/grid_view:", None),
    ("guest_page_tables", "Guest page tables", ":material/account_tree:", "guest-page-tables"),
    ("shadow_pool", "Shadow pool", ":material/layers:", "shadow-pool"),
    ("ept_npt", "EPT / NPT", ":material/stacks:", "ept-npt"),
    ("dirty_bitmap", "Dirty bitmap", ":material/edit_square:", "dirty-bitmap"),
    ("translation", "Translation", ":material/signpost:", "translation"),
    ("live_migration", "Live migration", ":material/move_down:", "live-migration"),
    ("real_xen", "Real Xen", ":material/fact_check:", "real-xen"),
    ("left_out", "What the model leaves out", ":material/content_cut:", "left-out"),
    ("manual", "Manual", ":material/menu_book:", "manual"),
)
PRESENT = '[data-testid="stSidebar"], [data-testid="stHeader"] { display: none; }'


def main() -> None:
    """One full run of the app for one visitor."""
    icon = (HERE / "icon.svg").read_text("utf-8")  # a Material icon would be fetched from another host
    st.set_page_config("pagingviz", icon, layout="wide", initial_sidebar_state="expanded")
    visit = session.current()
    visit.arrive(st.query_params.to_dict())
    css = (HERE / "style.css").read_text("utf-8")
    st.html(f"<style>{css}{PRESENT if visit.view.present else ''}</style>")
    pages = [
        st.Page(site() / "pages" / f"{script}.py", title=title, icon=icon, url_path=path, default=path is None)
        for script, title, icon, path in PAGES
    ]
    page = st.navigation(pages)
    follow.arrive(page.url_path)
    if page.url_path != "translation":
        visit.roads = None  # its machines are needed nowhere else
    with st.sidebar:
        sidebar.draw(visit, elsewhere=page.url_path == "real-xen", moving=page.url_path == "live-migration")
    # Streamlit's navigation drops the query string: it is written again on every run.
    address = visit.address()
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)
    page.run()


main()
