"""`python -m carlaseg` is the console command."""

from carlaseg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
