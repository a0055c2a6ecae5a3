"""The one exception that is shown to a user as a line, not as a traceback."""


class UserError(Exception):
    """A file, key or value that the user has to change.

    The message is one line: where (file and row, or key), what was found, what was expected.
    """
