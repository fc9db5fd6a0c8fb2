"""What if: a rule broken on purpose, beside the true machine."""

from pagingviz.ui.what_if import what_if_page

what_if_page("What if")
