"""`python -m inkshift` is `inkshift`."""

from inkshift.cli import main

if __name__ == "__main__":
    main()
