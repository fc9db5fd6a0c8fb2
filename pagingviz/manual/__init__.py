"""What people read beside the maps."""
