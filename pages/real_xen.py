"""Real Xen: recordings from a running Xen beside what the model does with the same script."""

from pagingviz.ui.real_xen import real_xen_page

real_xen_page("Real Xen")
