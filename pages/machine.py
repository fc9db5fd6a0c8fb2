"""The machine: all four maps at once, linked."""

from pagingviz.ui.page import machine_page

machine_page("The machine")
