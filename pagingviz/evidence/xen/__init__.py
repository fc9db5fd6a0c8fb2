"""Recordings of a real Xen: read them, run the same script on the model, compare both."""
