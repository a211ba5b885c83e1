"""`python -m untrained` is `untrained`."""

from untrained.cli import main

if __name__ == "__main__":
    main()
