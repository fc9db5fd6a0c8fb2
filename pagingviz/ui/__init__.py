"""The shell around the pages: what a visitor has, the address line, the player, the sidebar, and how pages place their pieces."""
