"""python -m harness: the command line, with every foreseen error in one line."""

import sys


def main() -> None:
    """Run the command line; a foreseen error ends with exit code 2 and one line."""
    from harness.cli import app
    from harness.errors import EvenhandError, failure

    try:
        app()
    except EvenhandError as error:
        sys.stderr.write(f"evenhand: {failure(error)}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
