"""The statements of the mailing-list answer, by id, on the engine's own state."""
