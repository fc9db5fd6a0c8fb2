"""The command line, one file a command; main.py puts them together, pagingviz/__main__.py only calls it."""
