"""What the tests of every room need."""
