"""`python -m pagingviz`: the same commands as the console script `pagingviz`."""

import sys

from pagingviz.cli.main import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m pagingviz"))
