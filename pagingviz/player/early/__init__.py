"""What a visitor sees before the engine is compiled: recorded stretches of scenarios, and cards from plain Python kernels."""
