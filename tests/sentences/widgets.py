"""The texts of widgets, charts and helps, read from the sources of ui/ and of the table of fields."""

import ast

from tests.sentences.templates import PACKAGE, templates

UI = sorted(f"pagingviz/ui/{path.name}" for path in (PACKAGE / "ui").glob("*.py") if path.name != "__init__.py")
LABELLED = (  # calls of Streamlit and Plotly whose first text, or whose label, title, name, help or placeholder, is shown
    "add_annotation add_bar add_hline add_scatter add_vline add_vrect button caption error expander file_uploader markdown "
    "multiselect number_input page_link pills segmented_control select_slider selectbox slider subheader text_input title turn"
).split()
SHOWN = ("label", "title", "name", "help", "placeholder", "annotation_text")


def labels(path):
    """Words alone that stand as labels in a Python file: what `templates`, which wants a space in a text, leaves out."""
    found = []
    for node in ast.walk(ast.parse((PACKAGE.parent / path).read_text("utf-8"))):
        if isinstance(node, ast.Call) and (getattr(node.func, "attr", "") or getattr(node.func, "id", "")) in LABELLED:
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg in SHOWN)]
            found += [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return [text for text in found if text.strip() and " " not in text.strip()]


def texts(path):
    """All that a file of ui/ shows, each once."""
    return list(dict.fromkeys([*templates(path, least=1), *labels(path)]))
