"""One kind of error for whatever the user can mend, and the one place that prints it."""

import sys
from collections.abc import Callable

EXIT_BAD_INPUT = 2


class StudyError(Exception):
    """Bad input, told in one line: what and where (file, row, key, value), then the remedy."""


def main(run: Callable[[], None]) -> None:
    """Call ``run``; a StudyError becomes one line on stderr and exit code 2, without a traceback."""
    try:
        run()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
