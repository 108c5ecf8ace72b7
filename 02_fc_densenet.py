#!/usr/bin/env python3
"""Train FC-DenseNet."""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
