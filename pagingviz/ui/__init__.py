"""The shell around the pages: what a visitor has, the address line, the player, the sidebar, the pieces of a page."""
