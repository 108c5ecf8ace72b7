"""carlaseg record, from a clone."""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["record", *sys.argv[1:]]))
