"""The tests, in the rooms of pagingviz/. Imported as `tests.`, from the root of a checkout."""
