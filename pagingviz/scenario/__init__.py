"""Scenarios: everything that decides a run, as one checked value; the table of its fields; where frames lie; the library."""
