"""The manual: what the words mean, how the program is made, where its rules come from."""

from pagingviz.ui.manual import manual_page

manual_page("Manual")
