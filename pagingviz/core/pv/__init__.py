"""PV guests: page tables that the hypervisor validates, and the hypercalls that change them."""
