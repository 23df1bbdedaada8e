"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """What the user asked for cannot be done; the message says what came, what is allowed, what to
    do.

    The commands print the message alone and exit with 2. Any other exception is a fault of the
    program and keeps its traceback.
    """
