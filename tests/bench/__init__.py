"""Figures, not tests: how fast the engine and the app are, and long audited runs."""
