"""The model held against reality: recorded page walks of other processors, and recordings of a real Xen."""
