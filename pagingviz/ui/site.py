"""Where the app's own files stand. The one function that knows both layouts: a checkout and an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def site() -> Path:
    """The folder of app.py, pages/ and .streamlit/: the checkout's top level, or pagingviz/_site (see pyproject.toml)."""
    installed = PACKAGE / "_site"
    return installed if installed.is_dir() else PACKAGE.parent
