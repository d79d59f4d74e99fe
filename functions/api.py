"""HTTP API: submit, read, list and cancel orders; quotes, tokens, tickets; documentation."""

from __future__ import annotations

import base64
import json
import secrets
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, cast
from uuid import UUID, uuid5

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from functions import telemetry
from functions.contract import Metric, is_public, iso
from functions.dex import router, tokens
from functions.dex.errors import CircularArbitrage, InvalidAmount, TokenNotTradable
from functions.http import pages, problems
from functions.http.compression import compressed
from functions.http.problems import Problem, bad_field
from functions.orders.order import (
    DEFAULT_SLIPPAGE_BPS,
    Model,
    Order,
    Route,
    Simulate,
    Status,
    Timestamp,
    first_update,
    order_of,
)
from functions.runtime import logger, now_ms, settings
from functions.simulation import market
from functions.store import access, orders, queue

BODY_BYTES_MAX = 10 * 1024
RETRY_AFTER_SECONDS = 5
PRICE_POINTS_MAX = 300
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
SINCE = "only points later than this, which is the timestamp of a point had before"
KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"
_ORDER_IDS = UUID("8f1c0d5e-3c39-4b5e-9d0a-6a1f5be6a3c4")  # name space of ids derived from keys


def _parse_object(text: str) -> dict[str, Any]:
    """A JSON object whose numbers never were floats."""
    try:
        parsed = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    if not isinstance(parsed, dict):
        raise json.JSONDecodeError("not an object", "", 0)
    return parsed


app = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=_parse_object)
app.exception_handler(Exception)(problems.answer)


# --- shapes -----------------------------------------------------------------------------------


def _number_or_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("must be a decimal number, as a number or as text")  # noqa: TRY004
    return str(value)


Amount = Annotated[
    str,
    BeforeValidator(_number_or_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
            ],
            "examples": ["1.5"],
        }
    ),
]
TokenName = Annotated[str, Field(description="symbol or mint", examples=["SOL"], max_length=64)]
SlippageBps = Annotated[int, Field(ge=0, le=10_000, description="0.01 % each")]
ClientKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["my-order-1"])]


IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]


class OrderRequest(Model):
    """A market order: swap `amount` of tokenIn for as much tokenOut as the best route gives."""

    model_config = ConfigDict(extra="forbid")

    token_in: TokenName
    token_out: TokenName
    amount: Amount = Field(description="of tokenIn, in whole tokens")
    slippage_bps: Annotated[SlippageBps, Field(strict=True)] = DEFAULT_SLIPPAGE_BPS
    client_order_id: ClientKey | None = Field(
        default=None, description="the idempotency key, under the order's own name for it"
    )
    simulate: Simulate | None = None


class OrderList(Model):
    """A page of orders, newest first."""

    orders: tuple[Order, ...]
    next_cursor: str | None = None


class QuoteAnswer(Route):
    """The route that an order would take now, and the market's price beside it."""

    token_in: str
    token_out: str
    reference_price: str = Field(description="tokenOut for one tokenIn, as GET /api/prices has it")


class Me(Model):
    """Whose key it is."""

    owner: str


class TokenView(Model):
    """A token that can be traded."""

    symbol: str
    name: str
    mint: str
    decimals: int


class TokenList(Model):
    """All tokens that can be traded."""

    tokens: tuple[TokenView, ...]


class Ticket(Model):
    """Stands for its owner once: `?ticket=` when a browser opens the WebSocket."""

    ticket: str
    expires_at: Timestamp
    web_socket_url: str = Field(description="where it is good for")


class PricePoint(Model):
    """Prices at one moment: tokenOut for one tokenIn, as decimal text."""

    timestamp: Timestamp
    reference: str
    raydium: str | None = Field(default=None, description="absent without a pool of this pair")
    meteora: str | None = Field(default=None, description="absent without a pool of this pair")


class PriceList(Model):
    """The last minutes of a pair, oldest first."""

    token_in: str
    token_out: str
    points: tuple[PricePoint, ...]


class Health(Model):
    """Liveness: the answer itself is the sign of life."""

    status: str = "ok"
    version: str
    simulate_allowed: bool = Field(description="whether orders may ask for simulated faults")


def _documented(success: dict[int, type[Model]], *refusals: int) -> dict[int, OpenAPIResponse]:
    """What a route answers, for the OpenAPI document."""
    answers: dict[int, Any] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"model": model}},
        }
        for status, model in success.items()
    }
    for status in refusals:
        answers[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {problems.CONTENT_TYPE: {"model": problems.ProblemDetails}},
        }
    return answers


# --- orders -----------------------------------------------------------------------------------


@app.post(
    "/api/orders/execute",
    summary="Submit a market order",
    operation_id="executeOrder",
    tags=["Orders"],
    responses=_documented({200: Order, 202: Order}, 400, 422, 429),
)
def execute_order(
    request: OrderRequest,
    idempotency_key: Annotated[
        ClientKey | None, Header(alias="Idempotency-Key", description="same as clientOrderId")
    ] = None,
) -> Response[Any]:
    """Accept an order for execution.

    Under a key sent before, the same request answers the stored order (200) and a different
    one is refused (422).
    """
    key = _key(request, idempotency_key)
    order = _new_order(request, key)
    if not _has_room(_owner()):
        return _stored_or_refused(order)
    logger.append_keys(order_id=order.order_id, attempt=order.attempt)
    try:
        orders.create_order(order, _owner())
    except orders.OrderExists as taken:
        return _replayed(taken.stored, order)
    try:
        queue.enqueue(order.order_id)
    except (BotoCoreError, ClientError):
        # The order is durable and the sweeper will queue it: no reason to refuse it.
        logger.exception("order not queued")
    logger.info("order accepted")
    telemetry.count(Metric.ORDERS_ACCEPTED)
    return _json(order, HTTPStatus.ACCEPTED, headers={"Location": f"/api/orders/{order.order_id}"})


@app.get(
    "/api/orders/<orderId>",
    summary="Read an order",
    operation_id="getOrder",
    tags=["Orders"],
    responses=_documented({200: Order}, 400, 404),
)
def get_order(order_id: Annotated[UUID, Path(alias="orderId")]) -> Response[Any]:
    """The order with every update so far."""
    return _json(orders.get_order(str(order_id), _owner()))


@app.get(
    "/api/orders",
    summary="List orders",
    operation_id="listOrders",
    tags=["Orders"],
    responses=_documented({200: OrderList}, 400),
)
def list_orders(
    status: Annotated[Status | None, Query()] = None,
    client_order_id: Annotated[ClientKey | None, Query(alias="clientOrderId")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response[Any]:
    """Newest first. With a status a page may be short and still have a nextCursor."""
    if client_order_id is not None:
        found, following = _orders_of_key(client_order_id, status), None
    else:
        found, following = orders.list_orders(_owner(), limit=limit, cursor=cursor, status=status)
    return _json(OrderList(orders=tuple(found), next_cursor=following))


@app.delete(
    "/api/orders/<orderId>",
    summary="Cancel an order",
    operation_id="cancelOrder",
    tags=["Orders"],
    responses=_documented({200: Order}, 400, 404, 409),
)
def cancel_order(order_id: Annotated[UUID, Path(alias="orderId")]) -> Response[Any]:
    """Possible while the order is pending; cancelling again answers the same order."""
    logger.append_keys(order_id=str(order_id))
    order = orders.get_order(str(order_id), _owner())
    if order.status is Status.PENDING:
        update = order.next_update(Status.CANCELLED, now_ms())
        try:
            order = orders.append_update(order, update)
            logger.info("order cancelled", attempt=order.attempt)
        except orders.StaleOrder:  # the worker, or another cancellation, was first
            order = orders.get_order(str(order_id), _owner())
    if order.status is not Status.CANCELLED:
        raise Problem(
            HTTPStatus.CONFLICT,
            "ORDER_NOT_CANCELLABLE",
            f"The order is {order.status}; only a pending order can be cancelled.",
        )
    return _json(order)


@app.post(
    "/api/tickets",
    summary="Get a ticket for the WebSocket",
    operation_id="createTicket",
    tags=["Live updates"],
    responses=_documented({201: Ticket}),
)
def create_ticket() -> Response[Any]:
    """For browsers, which cannot send a header with a WebSocket: good once, for a minute."""
    now = now_ms()
    ticket = access.create_ticket(_owner(), now)
    expires_at = iso(now + access.TICKET_SECONDS * 1000)
    answer = Ticket(ticket=ticket, expires_at=expires_at, web_socket_url=settings.web_socket_url)
    return _json(answer, HTTPStatus.CREATED)


# --- the market -------------------------------------------------------------------------------


@app.get(
    "/api/quote",
    summary="Quote a swap",
    operation_id="getQuote",
    tags=["Market"],
    responses=_documented({200: QuoteAnswer}, 400),
)
def get_quote(
    token_in: Annotated[TokenName, Query(alias="tokenIn")],
    token_out: Annotated[TokenName, Query(alias="tokenOut")],
    amount: Annotated[str, Query(description="of tokenIn, in whole tokens", max_length=100)],
    slippage_bps: Annotated[SlippageBps, Query(alias="slippageBps")] = DEFAULT_SLIPPAGE_BPS,
) -> Response[Any]:
    """Each venue's quote and the route that an order would take now; nothing is stored."""
    source, target, units = _swap(token_in, token_out, amount)
    slot = market.slot_at(now_ms())
    snapshots = {v: market.snapshot(v, slot, settings.market_seed) for v in market.VENUES}
    route = router.find_route(source, target, units, slippage_bps, snapshots)
    (priced,) = market.price_points(source, target, [slot], settings.market_seed)
    answer = {
        "tokenIn": source.symbol,
        "tokenOut": target.symbol,
        "referencePrice": priced["reference"],
        **route.to_json(),
    }
    present = {name: value for name, value in answer.items() if value is not None}
    return Response(HTTPStatus.OK, "application/json", json.dumps(present))


@app.get(
    "/api/prices",
    summary="Prices of the last minutes",
    operation_id="getPrices",
    tags=["Market"],
    responses=_documented({200: PriceList}, 400),
)
def get_prices(
    token_in: Annotated[TokenName, Query(alias="tokenIn")],
    token_out: Annotated[TokenName, Query(alias="tokenOut")],
    minutes: Annotated[int, Query(ge=1, le=60)] = 15,
    since: Annotated[str | None, Query(pattern=TIME_PATTERN, description=SINCE)] = None,
) -> Response[Any]:
    """The reference price and that of each venue with a pool of this pair, for a chart."""
    source, target = _pair(token_in, token_out)
    # Points stand on a fixed grid, so that one who asks again gets the same ones.
    step = max(1, minutes * 60 // PRICE_POINTS_MAX)
    last = now_ms() // 1000 // step * step
    times = [second * 1000 for second in range(last - minutes * 60 + step, last + step, step)]
    times = [time for time in times if since is None or iso(time) > since]
    slots = [market.slot_at(time) for time in times]
    priced = market.price_points(source, target, slots, settings.market_seed)
    points = (
        PricePoint.model_validate({**point, "timestamp": iso(time)})
        for time, point in zip(times, priced, strict=True)
    )
    answer = PriceList(token_in=source.symbol, token_out=target.symbol, points=tuple(points))
    return _json(answer)


@app.get(
    "/api/tokens",
    summary="List tokens",
    operation_id="listTokens",
    tags=["Market"],
    responses=_documented({200: TokenList}),
)
def list_tokens() -> Response[Any]:
    """Every token that can be traded, with its mint and decimals."""
    views = (
        TokenView(symbol=token.symbol, name=token.name, mint=token.mint, decimals=token.decimals)
        for token in tokens.TOKENS.values()
    )
    return _json(TokenList(tokens=tuple(views)))


@app.get(
    "/api/me",
    summary="Tell whose key it is",
    operation_id="getMe",
    tags=["Service"],
    responses=_documented({200: Me}),
)
def get_me() -> Response[Any]:
    """The owner of the key that the request brings."""
    return _json(Me(owner=_owner()))


@app.get(
    "/api/health",
    summary="Liveness",
    operation_id="getHealth",
    tags=["Service"],
    responses=_documented({200: Health}),
)
def get_health() -> Response[Any]:
    """Answers as long as the API does."""
    return _json(Health(version=settings.version, simulate_allowed=settings.simulate_allowed))


# --- pages ------------------------------------------------------------------------------------


@app.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    return Response(HTTPStatus.OK, "application/json", pages.openapi(app, settings.version))


@app.get("/", include_in_schema=False)
def get_front_page(if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page("index.html", if_none_match)


@app.get("/docs", include_in_schema=False)
def get_docs(if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page("docs.html", if_none_match)


@app.get("/assets/<name>", include_in_schema=False)
def get_asset(name: str, if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page(name, if_none_match)


# --- the handler ------------------------------------------------------------------------------


@telemetry.observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0); see events/http_*.json for its shape."""
    logger.set_correlation_id(event["requestContext"]["requestId"])
    try:
        _admit(event)
        text = _body_text(event)
    except Problem as problem:
        return _refused(problem)
    if owner := _owner_of(event):
        logger.append_keys(owner=owner)
    # A body is JSON whatever the client calls it: curl -d says it is a form.
    headers = {**event.get("headers", {}), "content-type": "application/json"}
    plain = {**event, "headers": headers, "body": text, "isBase64Encoded": False}
    return compressed(app.resolve(plain, context), event.get("headers", {}))


def _admit(event: dict[str, Any]) -> None:
    """Refuse who has no key and what no route takes, before anything else is looked at."""
    path, method = event["rawPath"], event["requestContext"]["http"]["method"]
    if not is_public(path) and not _owner_of(event):
        raise _unauthorized()
    allowed = _methods(path)
    if allowed and method not in allowed:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            f"This path takes {', '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
        )


def _methods(path: str) -> list[str]:
    """What the routes of a path take; a route of exactly this path shadows all patterns."""
    exact = sorted(route.method for route in app._static_routes if route.rule.match(path))
    matching = (route.method for route in app._dynamic_routes if route.rule.match(path))
    return exact or sorted(matching)


def _owner_of(event: dict[str, Any]) -> str | None:
    """Whom the authorizer let in; it lets through, without an owner, who has a wrong key."""
    authorizer = event["requestContext"].get("authorizer") or {}
    return (authorizer.get("lambda") or {}).get("owner") or None


def _unauthorized() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "UNAUTHORIZED",
        "An API key is needed, and it must be a valid one: Authorization: Bearer oee_…",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _body_text(event: dict[str, Any]) -> str | None:
    body = event.get("body")
    if not body:
        return None
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    if len(raw) > BODY_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "BODY_TOO_LARGE",
            f"A body may have at most {BODY_BYTES_MAX} bytes.",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise bad_field("INVALID_REQUEST", "body", "must be JSON in UTF-8") from None


def _refused(problem: Problem) -> dict[str, Any]:
    response = problems.answer(problem)
    return {
        "statusCode": response.status_code,
        "headers": {"Content-Type": problems.CONTENT_TYPE, **response.headers},
        "body": response.body,
    }


def _refuse_unknown_parameters(app: APIGatewayHttpResolver, proceed: Any) -> Response[Any]:
    known = {field.alias for field in app.context["_route"].dependant.query_params}
    for name in app.current_event.query_string_parameters:
        if name not in known:
            raise bad_field("INVALID_REQUEST", name, "is not a parameter of this request")
    return cast("Response[Any]", proceed(app))


app.use(middlewares=[_refuse_unknown_parameters])


def _owner() -> str:
    owner = _owner_of(app.current_event.raw_event)
    if owner is None:
        raise _unauthorized()
    return owner


_room: dict[str, int] = {}


def _has_room(owner: str) -> bool:
    """Whether the owner has fewer open orders than he may have, as well as can be told cheaply.

    A count lets this environment accept a twentieth of what was free before it counts again: so
    a busy owner costs hardly a call, and one near the limit is counted order by order. The limit
    guards the others' share of the queue, which a few orders more do not take.
    """
    room = _room.get(owner, 0)
    if room == 0:
        free = settings.max_open_orders - orders.open_order_count(owner)
        if free <= 0:
            return False
        room = max(1, free // 20)
    _room[owner] = room - 1
    return True


def _stored_or_refused(order: Order) -> Response[Any]:
    """A repeat of what was accepted before is answered whatever the limit says."""
    try:
        return _replayed(orders.get_order(order.order_id, _owner()), order)
    except orders.OrderNotFound:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "TOO_MANY_OPEN_ORDERS",
            f"At most {settings.max_open_orders} of your orders may be open at once.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        ) from None


def _replayed(stored: Order, asked: Order) -> Response[Any]:
    if not stored.asks_the_same(asked):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "IDEMPOTENCY_KEY_REUSED",
            f"The key {asked.client_order_id} was used for another order.",
        )
    return _json(stored, headers={"Idempotent-Replayed": "true"})


def _key(request: OrderRequest, header: str | None) -> str | None:
    if header and request.client_order_id and header != request.client_order_id:
        raise bad_field("INVALID_REQUEST", "clientOrderId", "must equal the Idempotency-Key header")
    return header or request.client_order_id


def _new_order(request: OrderRequest, key: str | None) -> Order:
    if request.simulate and not settings.simulate_allowed:
        raise bad_field("INVALID_REQUEST", "simulate", "is not allowed by this stack")
    token_in, token_out, units = _swap(request.token_in, request.token_out, request.amount)
    now = now_ms()
    order_id = str(uuid5(_ORDER_IDS, f"{_owner()}\0{key}")) if key else _time_ordered_id(now)
    fields = {
        "clientOrderId": key,
        "tokenIn": token_in.symbol,
        "tokenOut": token_out.symbol,
        "amount": tokens.to_text(units, token_in.decimals),
        "slippageBps": request.slippage_bps,
        "simulate": request.simulate,
    }
    return order_of(fields, [first_update(order_id, now)])


def _swap(token_in: str, token_out: str, amount: str) -> tuple[tokens.Token, tokens.Token, int]:
    """Both tokens and the amount in base units; every rule of a swap is checked here."""
    source, target = _pair(token_in, token_out)
    try:
        units = tokens.to_units(amount, source)
    except InvalidAmount as error:
        raise bad_field(error.code, "amount", error.rule) from None
    most = market.capacity(source, target)
    if units > most:
        text = tokens.to_text(most, source.decimals)
        raise bad_field(InvalidAmount.code, "amount", f"must be at most {text}, the pools' depth")
    return source, target, units


def _pair(token_in: str, token_out: str) -> tuple[tokens.Token, tokens.Token]:
    source, target = _token("tokenIn", token_in), _token("tokenOut", token_out)
    if source == target:
        raise bad_field(CircularArbitrage.code, "tokenOut", "must differ from tokenIn")
    return source, target


def _token(field: str, name: str) -> tokens.Token:
    try:
        return tokens.find(name)
    except TokenNotTradable as error:
        raise bad_field(error.code, field, "must be the symbol or mint of a listed token") from None


def _orders_of_key(key: str, status: Status | None) -> list[Order]:
    try:
        order = orders.get_order(str(uuid5(_ORDER_IDS, f"{_owner()}\0{key}")), _owner())
    except orders.OrderNotFound:
        return []
    return [order] if status in (None, order.status) else []


def _time_ordered_id(now: int) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    random = secrets.randbits(74)
    bits = now << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=bits))


def _json(
    body: Model, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response[Any]:
    all_headers: dict[str, Any] = {**problems.NOT_STORED, **(headers or {})}
    return Response(status, "application/json", body.to_json(), headers=all_headers)
