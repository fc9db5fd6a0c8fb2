"""Boards: what each map of a page shows, cell by cell, and the bytes and scripts that carry it to the browser."""
