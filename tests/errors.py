"""Errors of the tests that run the handlers under faults."""


class Killed(BaseException):
    """Ends an invocation as if its process were killed; `except Exception` does not catch it."""


class Violation(AssertionError):
    """The engine broke a promise."""
