"""PV guests: page tables that the hypervisor validates, and hypercalls that change them."""
