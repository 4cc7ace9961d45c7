"""The errors that people see: one sentence that says what is wrong and what to do.

>>> raise InputError("events.csv: no column 'user_id'; map it with --set data.columns.user_id=NAME")

The command line prints the sentence and exits with the class's code; a server answers with the class's status.
"""


class EverloopError(Exception):
    """Anything that a person can read and act on. Never shown with a traceback."""

    exit_code = 3  # the machine or a store failed: nothing was lost, try again
    status = 503
    stage = ""  # the pipeline's step that failed, where one did


class InputError(EverloopError):
    """What was asked for, or the data given, cannot be used as it is."""

    exit_code = 2
    status = 400


class Refused(EverloopError):
    """The answer is no: a gate stopped it, or digests differ."""

    exit_code = 1
    status = 409


class NotFound(InputError):
    """Something named does not exist."""

    status = 404


class StoreError(EverloopError):
    """A store could not be read or written (full, read-only, unreachable)."""


def is_panic(error: BaseException) -> bool:
    """A fault inside a native library (polars, deltalake): no Exception, so that none is taken for one by accident."""
    return type(error).__name__ == "PanicException"
