"""A subscription to updates that outlives its WebSocket connections, and the HTTP API beside it."""

import json
import random
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from functions.contract import API_KEY
from functions.orders.order import Status
from infra.cli.command import Problem, UnknownOrder
from infra.cli.deployed import Deployed

PAGE = 100
SUBSCRIPTIONS_MAX = 3  # without an answer, on one connection
# The connection stays after these, but the same message would be refused again.
FINAL_ERRORS = {"TOO_MANY_FOLLOWERS", "INVALID_MESSAGE", "INVALID_JSON", "UNKNOWN_ACTION"}

Json = dict[str, Any]


class Lost(Problem):
    """No subscription was answered for too long."""


class _TryAgain(Exception):
    """A call failed in a way that may pass."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, in seconds.

    API Gateway closes a connection after ten idle minutes, and any connection after two hours:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    """

    answer: float = 8  # for an answer to a subscription, after which it is sent again
    ping: float = 240  # between pings
    backoff: float = 0.5  # before the first attempt to connect again; doubled for each further one
    backoff_max: float = 30
    first: float = 60  # without a first answer, after which it is given up
    lost: float = 600  # without a further answer, after which it is given up


class Subject(Protocol):
    """What is subscribed to."""

    @property
    def ended(self) -> Status | None:
        """The status that ended it, after which nothing comes."""

    def begin(self, api: "Api") -> None:
        """Read what has to be known before the first subscription."""

    def subscription(self) -> Json:
        """The message that subscribes to what has not been seen."""

    def take(self, message: Json, api: "Api") -> bool | None:
        """True if the message answers the subscription, False if it must be sent again."""


class Api:
    """A stack's HTTP and WebSocket APIs, for one API key; raises Problem for what is no key."""

    def __init__(self, stack: Deployed, key: str) -> None:
        if not key:
            raise Problem("An API key is needed: give --key, or set OEE_API_KEY.")
        if not API_KEY.matches(key):
            raise Problem("The API key is not valid: one begins with oee_ and has 47 characters.")
        local = stack.endpoint_url is not None
        tls = ssl.create_default_context(cafile=stack.ca_bundle)
        self._web_socket_url = stack.output("WebSocketUrl")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._tls = tls if self._web_socket_url.startswith("wss:") else None
        # No proxy leads to this machine; elsewhere the environment's is used.
        self._proxy: Literal[True] | None = None if local else True
        self._http = httpx.Client(
            base_url=stack.output("HttpUrl"),
            headers=self._headers,
            verify=tls,
            trust_env=not local,
            timeout=30,
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def orders_since(self, created_at: str) -> Iterator[Json]:
        """The owner's orders, newest first, back to a time (ISO 8601), with their updates."""
        query: Json = {"limit": PAGE}
        while True:
            page = self._get("/api/orders", query)
            for order in page["orders"]:
                if order["createdAt"] < created_at:
                    return
                yield order
            if not page.get("nextCursor"):
                return
            query = {"limit": PAGE, "cursor": page["nextCursor"]}

    def order(self, order_id: str) -> Json:
        """One order with its updates; raises UnknownOrder."""
        return self._get(f"/api/orders/{order_id}", {}, absent=UnknownOrder(order_id))

    def connect(self) -> ClientConnection:
        """Open a WebSocket connection.

        Raises:
            Problem: the key is not valid.
        """
        try:
            return connect(
                self._web_socket_url,
                additional_headers=self._headers,
                ssl=self._tls,
                proxy=self._proxy,
                open_timeout=30,
            )
        except InvalidStatus as error:
            # A gateway whose authorizer is slow or dead refuses as it does for a wrong key.
            if error.response.status_code in (401, 403):
                self._get("/api/orders", {"limit": 1})
            raise

    def _get(self, path: str, query: Json, absent: Problem | None = None) -> Json:
        try:
            answer = self._http.get(path, params=query)
            if answer.is_success:
                found: Json = answer.json()
                return found
        except (httpx.RequestError, ValueError) as error:
            raise _TryAgain(f"the HTTP API: {error!r}") from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise Problem("The API key is not valid for this stack.")
        if answer.status_code == httpx.codes.NOT_FOUND and absent:
            raise absent
        raise _TryAgain(f"the HTTP API answers {answer.status_code}")


def keep_subscribed(
    subject: Subject, api: Api, tell: Callable[[str], None], patience: Patience
) -> Status:
    """Give the subject every message, over as many connections as it takes, until it has ended.

    Args:
        tell: is told of each connection that is lost.

    Raises:
        Lost: no subscription was answered for too long.
        UnknownOrder: the order that is subscribed to does not exist.
        Problem: the key is not valid, or the subscription is refused.
    """
    begun, wait, failures, lost_at = False, patience.first, 0, 0.0

    def answered() -> None:
        nonlocal wait, failures
        if failures:
            tell("Connected again.")
        wait, failures = patience.lost, 0

    while True:
        try:
            if not begun:
                subject.begin(api)
                begun = True
            with api.connect() as socket:
                return _exchange(socket, subject, api, patience, answered)
        except (_TryAgain, OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
            if not failures:
                lost_at = time.monotonic()
                tell(f"There is no connection ({why}); trying again for {wait:.0f} s.")
            if time.monotonic() - lost_at > wait:
                raise Lost(f"There was no connection for {wait:.0f} s: {why}") from error
            ceiling = min(patience.backoff_max, patience.backoff * 2**failures)
            time.sleep(ceiling * random.uniform(0.5, 1))  # noqa: S311 - not all clients at once
            failures += 1


def _exchange(
    socket: ClientConnection,
    subject: Subject,
    api: Api,
    patience: Patience,
    answered: Callable[[], None],
) -> Status:
    """Subscribe, and hand over what comes, until the subject has ended or an error is raised."""
    unanswered = 0

    def subscribe() -> float:
        nonlocal unanswered
        if unanswered == SUBSCRIPTIONS_MAX:
            raise _TryAgain("subscriptions are not answered")
        unanswered += 1
        socket.send(json.dumps(subject.subscription()))
        return time.monotonic() + patience.answer

    answer_by: float | None = subscribe()
    ping_at = time.monotonic() + patience.ping
    while subject.ended is None:
        due = min(ping_at, answer_by or ping_at)
        try:
            message = json.loads(socket.recv(max(0, due - time.monotonic())))
        except TimeoutError:
            if due == ping_at:
                socket.send('{"action":"ping"}')
                ping_at = time.monotonic() + patience.ping
            else:
                answer_by = subscribe()
            continue
        if "error" in message and "status" not in message:
            _refused(message["error"], subject)
        # Any other error, as API Gateway's own {"message", "connectionId", "requestId"} when it
        # throttles, leaves the subscription unanswered, so that it is sent again.
        match subject.take(message, api):
            case True:
                answer_by, unanswered = None, 0
                answered()
            case False:
                answer_by = answer_by or subscribe()
    return subject.ended


def _refused(error: Json, subject: Subject) -> None:
    code = error.get("code")
    if code == "ORDER_NOT_FOUND":
        raise UnknownOrder(str(subject.subscription()["orderId"]))
    if code in FINAL_ERRORS:
        raise Problem(str(error.get("message")))
