"""What the model leaves out, from the one list that stands beside the code."""

import streamlit as st

from pagingviz.manual.left_out import LEFT_OUT, PAGES
from pagingviz.ui.page import machine_in_words

with st.container(key="left-out"):  # a block of its own keeps Streamlit's distances between headings and tables
    st.title("What the model leaves out")
    st.markdown("A model is a choice. Real Xen and real hardware do the following, and this machine does not.")
    for page, title in PAGES.items():
        rows = [
            {"left out": item.what, "in real Xen or hardware": item.where, "what follows": item.why}
            for item in LEFT_OUT
            if item.pages[0] == page
        ]
        if rows:
            st.subheader(title)
            st.table(rows)
machine_in_words()
