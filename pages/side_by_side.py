"""Side by side: two to four machines with the same work under one clock, and what each has cost."""

from pagingviz.ui.side_by_side import side_by_side_page

side_by_side_page("Side by side")
