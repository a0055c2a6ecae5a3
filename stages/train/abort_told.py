"""Passes on what it reads, but for how JAX's C++ code ends a process: that it replaces by a line.

Its arguments are the lines for an abort before and after it has read `JOINED`.
"""

import re
import signal
import sys

JOINED = b"\0joined\n"
# As in "F1122 19:12:53.253967 3796 client.h:80] …"; what follows is part of it, or of the stack.
_DYING = re.compile(
    rb"[EF]\d{4} [\d:.]+ +\d+ (coordination_service\w*\.cc|client\.h|distributed_runtime\w*\.\w+):\d+\]"
)


def main() -> None:
    """Read to the end of standard input, which is the end of who writes there."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = sys.argv[1]
    held: list[bytes] = []
    for line in sys.stdin.buffer:
        if line == JOINED:
            told = sys.argv[2]
        elif held or _DYING.match(line):
            held.append(line)  # until it is known whether this is the end
        else:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
    if any(_DYING.match(line) and line.startswith(b"F") for line in held):
        held = [f"{told}\n".encode()]
    sys.stderr.buffer.writelines(held)


if __name__ == "__main__":
    main()
