"""``python -m hw3lib.cli``: the command ``hw3`` where it is not on the path."""

import sys

from hw3lib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
