"""Passes on what it reads, but for how JAX's C++ code ends a process: that it replaces by the line in its argument."""

import re
import signal
import sys

# As in "F1122 19:12:53.253967 3796 client.h:80] …"; what follows is part of it, or of the stack.
_DYING = re.compile(r"[EF]\d{4} [\d:.]+ +\d+ (coordination_service\w*\.cc|client\.h|distributed_runtime\w*\.\w+):\d+\]")


def main() -> None:
    """Read to the end of standard input, which is the end of who writes there."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    aborted = dying = False
    for line in sys.stdin:
        dying = dying or _DYING.match(line) is not None
        aborted = aborted or (dying and line.startswith("F"))
        if not dying:
            sys.stderr.write(line)
            sys.stderr.flush()
    if aborted:
        print(sys.argv[1], file=sys.stderr)


if __name__ == "__main__":
    main()
