"""The client: requests that are safe to repeat, and updates that survive lost connections."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from functions.client.errors import (
    EngineError,
    KeyRefused,
    NoAnswer,
    NotUnderstood,
    OrderUnknown,
    Refused,
)
from functions.client.following import AllOrders, OneOrder
from functions.client.internet import Internet
from functions.client.transport import Answer, Lost, NotAdmitted, Socket, Transport
from functions.contract import iso
from functions.messages import (
    ErrorCode,
    Health,
    Me,
    OrderList,
    PriceList,
    ProblemDetails,
    QuoteAnswer,
    Ticket,
    TokenList,
    TokenView,
)
from functions.orders.order import OPEN, Model, Order, OrderType, TimeInForce, Update

PAGE = 100
SUBSCRIPTIONS_MAX = 3  # without an answer, on one connection
# Errors after which the same message would be refused again.
FINAL_ERRORS = {*ErrorCode} - {ErrorCode.INTERNAL}

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds.

    API Gateway closes a connection after ten idle minutes, and any connection after two hours:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    """

    request: float = 30  # for the answer to one HTTP request, and for a connection to open
    call: float = 60  # for a definite answer to a call, and for the first answer to a subscription
    lost: float = 600  # for a further answer to a subscription, after a connection was lost
    answer: float = 10  # for the answer to a subscription, before it is sent again
    # Between repeated subscriptions on an open connection. They keep it open, and find updates that
    # did not arrive.
    renew: float = 240
    backoff: float = 0.5  # before the second try; doubled for each further one
    backoff_max: float = 20


class AsyncClient:
    """A client of the engine at `url`, for one API key.

    Every call is retried until it has a definite answer: after a lost answer, a 5xx and a 429. It
    raises Refused for a definite refusal, and NoAnswer when its time has ended.

    Args:
        key: the API key, or a function that returns it and is called again if a key is refused.
        web_socket_url: the URL of the WebSocket API; by default, it is read from the HTTP API.
        tls: the certificates to trust, if not the system's.
        trust_env: whether proxies are taken from the environment.
        tell: called with a sentence when the connection is lost and when it is restored.
    """

    def __init__(
        self,
        url: str,
        key: str | Callable[[], str],
        *,
        web_socket_url: str = "",
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = True,
        tell: Callable[[str], None] = lambda _sentence: None,
        transport: Transport | None = None,
    ) -> None:
        self._key = key if callable(key) else lambda: key
        self._web_socket_url, self._tell = web_socket_url, tell
        self._timeouts = timeouts or Timeouts()
        self._transport: Transport = transport or Internet(
            url, tls=tls, trust_env=trust_env, seconds=self._timeouts.request
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the HTTP connections."""
        await self._transport.close()

    # --- orders

    async def submit(
        self,
        token_in: str,
        token_out: str,
        amount: Decimal | int | str,
        *,
        type: OrderType | str | None = None,
        slippage_bps: int | None = None,
        limit_price: Decimal | int | str | None = None,
        stop_price: Decimal | int | str | None = None,
        expires_at: datetime | None = None,
        time_in_force: TimeInForce | str | None = None,
        slices: int | None = None,
        interval_seconds: int | None = None,
        simulate: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Order:
        """Submit an order. It is executed once, even if the request is sent several times.

        Args:
            amount: of token_in, in whole tokens.
            type: market if it is not given.
            limit_price: token_out for one token_in, like stop_price.
            simulate: a fault, where the stack allows it: {"fault": "venue_down"}.
            key: the idempotency key, 1 to 128 visible characters; one is made if none is given.
        """
        body = _given(
            tokenIn=token_in,
            tokenOut=token_out,
            amount=str(amount),
            type=type,
            slippageBps=slippage_bps,
            limitPrice=_text(limit_price),
            stopPrice=_text(stop_price),
            expiresAt=_time(expires_at),
            timeInForce=time_in_force,
            slices=slices,
            intervalSeconds=interval_seconds,
            simulate=simulate,
        )
        headers = {"Idempotency-Key": key or self._transport.new_key()}
        return await self._call(Order, "POST", "/api/orders/execute", body=body, headers=headers)

    async def order(self, order_id: str) -> Order:
        """An order with its updates; raises OrderUnknown."""
        return await self._call(Order, "GET", f"/api/orders/{order_id}")

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order; raises Refused (ORDER_NOT_CANCELLABLE), OrderUnknown."""
        return await self._call(Order, "DELETE", f"/api/orders/{order_id}")

    async def change(
        self,
        order_id: str,
        *,
        limit_price: Decimal | int | str | None = None,
        stop_price: Decimal | int | str | None = None,
        expires_at: datetime | None = None,
    ) -> Order:
        """Change what a resting order waits for; raises Refused (ORDER_NOT_CHANGEABLE)."""
        body = _given(
            limitPrice=_text(limit_price),
            stopPrice=_text(stop_price),
            expiresAt=_time(expires_at),
        )
        return await self._call(Order, "PATCH", f"/api/orders/{order_id}", body=body)

    async def orders(
        self,
        *,
        status: str | None = None,
        type: OrderType | str | None = None,
        token_in: str | None = None,
        token_out: str | None = None,
        parent_id: str | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Order]:
        """The orders that match all filters, newest first, back to the createdAt `since`.

        `since` is ISO 8601. With the status "open", all that have not ended, in any order.
        """
        query: dict[str, Any] = {
            "status": status,
            "type": type,
            "tokenIn": token_in,
            "tokenOut": token_out,
            "parentId": parent_id,
            "limit": PAGE,
        }
        while True:
            page = await self._call(OrderList, "GET", "/api/orders", query=query)
            for order in page.orders:
                if since and order.created_at < since and status != OPEN:
                    return
                yield order
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    # --- the market and the service

    async def quote(
        self,
        token_in: str,
        token_out: str,
        amount: Decimal | int | str,
        *,
        slippage_bps: int | None = None,
    ) -> QuoteAnswer:
        """The route that an order would take now, and each venue's quote."""
        query = {"tokenIn": token_in, "tokenOut": token_out, "amount": str(amount)}
        return await self._call(
            QuoteAnswer, "GET", "/api/quote", query={**query, "slippageBps": slippage_bps}
        )

    async def prices(
        self, token_in: str, token_out: str, *, minutes: int = 15, since: str | None = None
    ) -> PriceList:
        """The prices of the last minutes, or after `since`, a point's timestamp; oldest first."""
        query = {"tokenIn": token_in, "tokenOut": token_out, "minutes": minutes, "since": since}
        return await self._call(PriceList, "GET", "/api/prices", query=query)

    async def tokens(self) -> tuple[TokenView, ...]:
        """The tokens that can be traded."""
        return (await self._call(TokenList, "GET", "/api/tokens")).tokens

    async def me(self) -> str:
        """The owner of the key; raises KeyRefused."""
        return (await self._call(Me, "GET", "/api/me")).owner

    async def health(self) -> Health:
        """The version of the engine, and whether it allows simulated faults."""
        return await self._call(Health, "GET", "/api/health")

    # --- updates

    def follow(self, order: Order | str, *, since: int = 0) -> AsyncIterator[Update]:
        """The updates of an order after the sequence `since`, to its end: each once, in order.

        The iterator raises OrderUnknown, KeyRefused, Refused, and NoAnswer if there was no
        connection for too long; follow again with the last sequence to continue.
        """
        order_id = order if isinstance(order, str) else order.order_id
        return self._follow(OneOrder(order_id, since))

    def follow_all(self, *, since: datetime | None = None) -> AsyncIterator[Update]:
        """The updates of all orders: of each order, each once and in order. It never ends.

        It yields every update of orders that were created at `since` or later. Of older orders, and
        without `since`, it yields every update that is stored from now on. A program that restarts
        passes the time since which it needs orders, and ignores the updates that it already has.

        Raises as `follow` does.
        """
        return self._follow(AllOrders(self, _time(since), self._transport.now_ms()))

    async def _follow(self, subject: OneOrder | AllOrders) -> AsyncIterator[Update]:
        transport = self._transport
        begun, failures, lost_at, wait = False, 0, transport.monotonic(), self._timeouts.call

        def answered() -> None:
            nonlocal failures, wait
            if failures:
                self._tell("Connected again.")
            failures, wait = 0, self._timeouts.lost

        while not subject.ended:
            socket: Socket | None = None
            try:
                if not begun:
                    await subject.begin()
                    begun = True
                socket = await self._connect()
                async for update in self._received(subject, socket, answered):
                    yield update
            except (Lost, NoAnswer) as error:
                now = transport.monotonic()
                if not failures:
                    lost_at = now
                    self._tell(f"There is no connection ({error}); trying again for {wait:.0f} s.")
                if now - lost_at > wait:
                    raise NoAnswer(f"There was no connection for {wait:.0f} s: {error}") from error
                await transport.sleep(self._backoff(failures))
                failures += 1
            finally:
                if socket:
                    await socket.close()

    async def _received(
        self, subject: OneOrder | AllOrders, socket: Socket, answered: Callable[[], None]
    ) -> AsyncIterator[Update]:
        """Subscribe on a connection, and yield the updates that arrive; raises Lost."""
        timeouts, clock = self._timeouts, self._transport.monotonic
        unanswered, subscribe_at = 0, clock()
        while not subject.ended:
            left = subscribe_at - clock()
            if left <= 0:
                if unanswered == SUBSCRIPTIONS_MAX:
                    raise Lost("subscriptions are not answered")
                unanswered += 1
                await socket.send(json.dumps(subject.subscription()))
                subscribe_at = clock() + timeouts.answer
                continue
            message = _message(await socket.receive(left))
            _check(message, subject)
            step = await subject.take(message)
            if step.answers:
                answered()
                unanswered, subscribe_at = 0, clock() + timeouts.renew
            elif step.gap and not unanswered:
                subscribe_at = clock()
            for update in step.updates:
                yield update

    async def _connect(self) -> Socket:
        if not self._web_socket_url:
            ticket = await self._call(Ticket, "POST", "/api/tickets")
            self._web_socket_url = ticket.web_socket_url
        try:
            return await self._transport.connect(self._web_socket_url, _bearer(self._key()))
        except NotAdmitted as error:
            # The gateway's refusal is the same if the key is wrong and if the authorizer failed.
            if error.status in (401, 403):
                await self.me()
            raise Lost(str(error)) from error

    # --- requests

    async def _call(
        self,
        model: type[M],
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        """The answer to a request that may be sent any number of times."""
        given = {name: str(value) for name, value in _given(**(query or {})).items()}
        text = None if body is None else json.dumps(body)
        transport = self._transport
        end = transport.monotonic() + self._timeouts.call
        for number in count():
            key, wait = self._key(), self._backoff(number)
            sent = {**_bearer(key), **(headers or {})}
            failure: EngineError
            try:
                answer = await transport.request(method, path, query=given, headers=sent, body=text)
            except Lost as error:
                failure = NoAnswer(str(error))
            else:
                if answer.status < 400:
                    return _parsed(model, answer)
                failure = _refusal(answer)
                if isinstance(failure, KeyRefused) and self._key() != key:
                    continue
                if answer.status != 429 and answer.status < 500:
                    raise failure
                with suppress(KeyError, ValueError):
                    wait = max(wait, float(answer.headers["retry-after"]))
            if transport.monotonic() + wait > end:
                raise failure
            await transport.sleep(wait)
        raise AssertionError  # not reached: count() does not end

    def _backoff(self, failures: int) -> float:
        timeouts = self._timeouts
        ceiling = min(timeouts.backoff_max, timeouts.backoff * 2.0 ** min(failures, 30))
        return ceiling * (0.5 + self._transport.chance() / 2)  # spreads the retries of many clients


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _text(number: Decimal | int | str | None) -> str | None:
    return None if number is None else str(number)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(int(moment.timestamp() * 1000))


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _parsed(model: type[M], answer: Answer) -> M:
    try:
        return model.model_validate_json(answer.text, extra="allow")
    except ValidationError as error:
        raise NotUnderstood(f"An answer cannot be read: {error}") from error


def _refusal(answer: Answer) -> EngineError:
    """The error for a status of 400 or above: NoAnswer for a 5xx and the gateway's own 429."""
    status = answer.status
    try:
        problem: dict[str, Any] = json.loads(answer.text)
        details = ProblemDetails.model_validate(problem | {"code": "INTERNAL"})
    except (ValueError, TypeError):  # the gateway's own answer
        if status == 401:
            return KeyRefused("UNAUTHORIZED", "The API key is not valid.", status=status)
        if status == 429 or status >= 500:
            return NoAnswer(f"the HTTP API answers {status}")
        return Refused("", f"The gateway answers {status}.", status=status)
    code = str(problem["code"])  # a newer release may have more codes
    if status >= 500:
        return NoAnswer(details.detail)
    kind = {"UNAUTHORIZED": KeyRefused, "ORDER_NOT_FOUND": OrderUnknown}.get(code, Refused)
    return kind(code, details.detail, status=status, errors=details.errors)


def _message(text: str | None) -> dict[str, Any]:
    """A message as a JSON object; empty if there is no message or it is not a JSON object."""
    try:
        message = json.loads(text or "{}")
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _check(message: Mapping[str, Any], subject: OneOrder | AllOrders) -> None:
    """Raise the error that refuses the subscription, if the message is one.

    Any other message that is no answer, such as the gateway's own frame, leaves the subscription
    unanswered, so that it is sent again.
    """
    if "error" not in message or "status" in message:
        return
    error = message["error"]
    code, detail = str(error.get("code")), str(error.get("message"))
    if code == ErrorCode.ORDER_NOT_FOUND:
        raise OrderUnknown(code, f"There is no order {subject.subscription()['orderId']}.")
    if code in FINAL_ERRORS:
        raise Refused(code, detail)
