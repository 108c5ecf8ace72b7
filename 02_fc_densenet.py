"""carlaseg train, from a clone."""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
