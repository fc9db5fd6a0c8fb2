"""Which Streamlit the pages were tried with, and which of its private names they rest on.

Scripts and styles find parts of Streamlit's page by their `data-testid`, which Streamlit may rename in any release. Without
one the page still works: a measure or a distance is off. requirements.txt has the same bounds as TESTED.
"""

import logging

import streamlit as st

TESTED = ((1, 67), (1, 67))  # the first and the last
TEST_IDS = frozenset(
    {
        "stApp",
        "stAppDeployButton",
        "stCaptionContainer",
        "stDialog",
        "stExpandSidebarButton",
        "stExpanderDetails",
        "stHeader",
        "stHorizontalBlock",
        "stMain",
        "stMainBlockContainer",
        "stMarkdown",
        "stSidebar",
        "stSidebarContent",
        "stSidebarHeader",
        "stSidebarNav",
        "stSidebarNavItems",
        "stSidebarNavLink",
        "stSidebarNavSeparator",
        "stSidebarUserContent",
        "stStatusWidget",
        "stVerticalBlock",
    }
)


def warn_if_untested() -> None:
    """Write one sentence into the log when this Streamlit is not in TESTED. app.py calls it once, at the start."""
    version = tuple(int(part) for part in st.__version__.split(".")[:2])
    if not TESTED[0] <= version <= TESTED[1]:
        first, last = (".".join(map(str, tried)) for tried in TESTED)
        logging.getLogger("pagingviz").warning(
            f"Streamlit {st.__version__} has not been tried with pagingviz (tried: {first} to {last}): pages may look odd."
        )
