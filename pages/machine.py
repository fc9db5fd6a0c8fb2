"""The machine: all four maps at once, linked."""

from pagingviz.ui.place import machine_page

machine_page("The machine")
