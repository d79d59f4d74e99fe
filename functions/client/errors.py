"""The errors of the client."""

from __future__ import annotations

from functions.messages import FieldError


class EngineError(Exception):
    """Every error of this client."""


class Refused(EngineError):
    """The engine refused the request, and would refuse the same request again.

    `code` is one of ProblemCode (HTTP) or ErrorCode (WebSocket), or empty if the gateway itself
    refused. `status` is the HTTP status, or None for a message to the WebSocket.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.status, self.errors = code, detail, status, errors


class KeyRefused(Refused):
    """The API key is not valid for this stack."""


class OrderUnknown(Refused):
    """The owner of the key has no such order."""


class NoAnswer(EngineError):
    """There was no definite answer in time. The request may have taken effect."""


class NotUnderstood(EngineError):
    """This release of the client cannot read the engine's answer: update the client."""
