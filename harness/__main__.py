"""python -m harness: the command line, with every foreseen error in one line."""

import sys


def main() -> None:
    """Run the command line; a foreseen error ends with exit code 2 and one line."""
    from harness.arguments import describe_os_error
    from harness.cli import app
    from harness.errors import EvenhandError, one_line

    try:
        app()
    except EvenhandError as error:
        message = str(error)
    except OSError as error:  # a missing permission, a full disk, a path that is too long
        message = describe_os_error(error)
    else:
        return
    sys.stderr.write(f"evenhand: {one_line(message)}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
