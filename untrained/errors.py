"""The one error a user is meant to read."""


class UserError(ValueError):
    """Bad input: the message names the culprit, what was found, what was expected, what to do.

    The command line prints it as one paragraph and exits with status 2; from Python it is a
    plain `ValueError`.
    """


class Diverged(RuntimeError):
    """The objective became infinite or NaN before any image could be kept."""
