"""HTTP API: the routes."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import iso
from functions.http import (
    admission,
    asyncapi,
    changes,
    collection,
    guide,
    lists,
    market,
    openapi,
    problems,
    webhooks,
)
from functions.http.answers import finished
from functions.http.models import (
    AmountQuery,
    ChangeRequest,
    ClientOrderIdQuery,
    CreatedFromQuery,
    CreatedToQuery,
    CursorQuery,
    FromQuery,
    IdempotencyKey,
    IfNoneMatch,
    IntervalQuery,
    LimitQuery,
    MinutesQuery,
    OptionalTokenInQuery,
    OptionalTokenOutQuery,
    OrderId,
    OrderRequest,
    ParentQuery,
    RowsQuery,
    SinceQuery,
    SlippageQuery,
    StatusQuery,
    TokenInQuery,
    TokenOutQuery,
    ToQuery,
    TypeQuery,
    WebhookId,
    WebhookRequest,
)
from functions.http.openapi import documented, documented_text
from functions.http.pages import Pages
from functions.http.problems import Problem
from functions.http.submission import submit
from functions.messages import (
    CandleList,
    Health,
    Me,
    NewWebhook,
    OrderList,
    PriceList,
    QuoteAnswer,
    Ticket,
    TokenList,
    Webhook,
    WebhookList,
)
from functions.orders.order import DEFAULT_SLIPPAGE_BPS, Model, Order
from functions.runtime import logger, now_ms, settings
from functions.store import access, orders

app = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=admission.parse_object)
app.exception_handler(Exception)(problems.answer)
pages = Pages(settings)


@telemetry.with_telemetry
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one HTTP request (payload format 2.0); events/http_*.json show its shape."""
    logger.set_correlation_id(event["requestContext"]["requestId"])
    if owner := admission.owner_of(event):
        logger.append_keys(owner=owner)
    try:
        answer = app.resolve(admission.admit(app, event), context)
    except Problem as problem:
        answer = problems.proxy_answer(problem)
    return finished(answer, event)


# --- orders -----------------------------------------------------------------------------------


@app.post(
    "/api/orders/execute",
    summary="Submit an order",
    operation_id="executeOrder",
    tags=["Orders"],
    responses=documented({200: Order, 202: Order}, 400, 422, 429),
)
def execute_order(request: OrderRequest, idempotency_key: IdempotencyKey = None) -> Response[Any]:
    """Accept an order for execution.

    If the key was sent before, the answer to the same request is the stored order (200), and a
    different request is refused (422).
    """
    order, replayed = submit(request, _owner(), idempotency_key)
    if replayed:
        return _json(order, headers={"Idempotent-Replayed": "true"})
    return _json(order, HTTPStatus.ACCEPTED, headers={"Location": f"../orders/{order.order_id}"})


@app.get(
    "/api/orders/<orderId>",
    summary="Read an order",
    operation_id="getOrder",
    tags=["Orders"],
    responses=documented({200: Order}, 400, 404),
)
def get_order(order_id: OrderId) -> Response[Any]:
    """The order with every update so far."""
    return _json(orders.get_order(str(order_id), _owner()))


@app.get(
    "/api/orders",
    summary="List orders",
    operation_id="listOrders",
    tags=["Orders"],
    responses=documented({200: OrderList}, 400),
)
def list_orders(
    *,
    status: StatusQuery | None = None,
    order_type: TypeQuery = None,
    token_in: OptionalTokenInQuery = None,
    token_out: OptionalTokenOutQuery = None,
    parent_id: ParentQuery = None,
    client_order_id: ClientOrderIdQuery = None,
    limit: LimitQuery = 20,
    cursor: CursorQuery = None,
) -> Response[Any]:
    """Newest first. With a filter, a page may have fewer orders and still a nextCursor."""
    wanted = lists.filters(status, order_type, token_in, token_out)
    only = lists.ids(_owner(), parent_id, client_order_id)
    return _json(lists.page(_owner(), wanted, only, limit, cursor))


@app.get(
    "/api/orders.csv",
    summary="Export orders as CSV",
    operation_id="exportOrders",
    tags=["Orders"],
    responses=documented_text("text/csv", 400),
)
def export_orders(
    first: CreatedFromQuery = None,
    end: CreatedToQuery = None,
    limit: RowsQuery = 1000,
    cursor: CursorQuery = None,
) -> Response[Any]:
    """Newest first. The header Link (RFC 8288) gives the next page, which has no column names."""
    text, headers = lists.export(_owner(), first, end, limit, cursor)
    return Response(HTTPStatus.OK, "text/csv; charset=utf-8", text, headers={**headers})


@app.delete(
    "/api/orders/<orderId>",
    summary="Cancel an order",
    operation_id="cancelOrder",
    tags=["Orders"],
    responses=documented({200: Order}, 400, 404, 409),
)
def cancel_order(order_id: OrderId) -> Response[Any]:
    """Possible while the order is pending, rests, or is between its slices.

    A repeated cancellation returns the same order.
    """
    logger.append_keys(order_id=str(order_id))
    return _json(changes.cancel(str(order_id), _owner()))


@app.patch(
    "/api/orders/<orderId>",
    summary="Change a resting order",
    operation_id="changeOrder",
    tags=["Orders"],
    responses=documented({200: Order}, 400, 404, 409),
)
def change_order(order_id: OrderId, request: ChangeRequest) -> Response[Any]:
    """Change the prices or the expiry of a resting order.

    If its price is reached at the same moment, either the change or the trigger takes effect.
    """
    logger.append_keys(order_id=str(order_id))
    return _json(changes.change(request, str(order_id), _owner()))


@app.post(
    "/api/tickets",
    summary="Get a ticket for the WebSocket",
    operation_id="createTicket",
    tags=["Live updates"],
    responses=documented({201: Ticket}),
)
def create_ticket() -> Response[Any]:
    """For browsers, which cannot send a header with a WebSocket; valid once, for a minute."""
    now = now_ms()
    ticket = access.create_ticket(_owner(), now)
    expires_at = iso(now + access.TICKET_SECONDS * 1000)
    answer = Ticket(ticket=ticket, expires_at=expires_at, web_socket_url=settings.web_socket_url)
    return _json(answer, HTTPStatus.CREATED)


# --- webhooks ---------------------------------------------------------------------------------


@app.post(
    "/api/webhooks",
    summary="Create a webhook",
    operation_id="createWebhook",
    tags=["Webhooks"],
    responses=documented({201: NewWebhook}, 400, 409),
)
def create_webhook(request: WebhookRequest) -> Response[Any]:
    """The URL receives the updates that are stored later than one second after this call.

    Only this answer shows the secret.
    """
    return _json(webhooks.create(_owner(), request), HTTPStatus.CREATED)


@app.get(
    "/api/webhooks",
    summary="List webhooks",
    operation_id="listWebhooks",
    tags=["Webhooks"],
    responses=documented({200: WebhookList}),
)
def list_webhooks() -> Response[Any]:
    """Oldest first, each with its last error if its last delivery failed."""
    return _json(WebhookList(webhooks=webhooks.listed(_owner())))


@app.post(
    "/api/webhooks/<webhookId>/test",
    summary="Send a test message",
    operation_id="testWebhook",
    tags=["Webhooks"],
    responses=documented({202: Webhook}, 400, 404),
)
def try_webhook(webhook_id: WebhookId) -> Response[Any]:
    """One signed message is sent once; read the webhook afterwards to see whether it failed."""
    request_id = app.current_event.request_context.request_id
    tried = webhooks.try_out(_owner(), webhook_id, request_id)
    return _json(tried, HTTPStatus.ACCEPTED)


@app.delete(
    "/api/webhooks/<webhookId>",
    summary="Delete a webhook",
    operation_id="deleteWebhook",
    tags=["Webhooks"],
    responses={204: {"description": "Deleted"}, **documented({}, 400, 404)},
)
def delete_webhook(webhook_id: WebhookId) -> Response[Any]:
    """Nothing more is sent to it, except a message that is being sent at this moment."""
    webhooks.delete(_owner(), webhook_id)
    return Response(HTTPStatus.NO_CONTENT, body="")


# --- the market -------------------------------------------------------------------------------


@app.get(
    "/api/quote",
    summary="Quote a swap",
    operation_id="getQuote",
    tags=["Market"],
    responses=documented({200: QuoteAnswer}, 400),
)
def get_quote(
    token_in: TokenInQuery,
    token_out: TokenOutQuery,
    amount: AmountQuery,
    slippage_bps: SlippageQuery = DEFAULT_SLIPPAGE_BPS,
) -> Response[Any]:
    """Each venue's quote and the route that an order would take now; nothing is stored."""
    return _json(market.quote(token_in, token_out, amount, slippage_bps))


@app.get(
    "/api/prices",
    summary="Prices of the last minutes",
    operation_id="getPrices",
    tags=["Market"],
    responses=documented({200: PriceList}, 400),
)
def get_prices(
    token_in: TokenInQuery,
    token_out: TokenOutQuery,
    minutes: MinutesQuery = 15,
    since: SinceQuery = None,
) -> Response[Any]:
    """The reference price and that of each venue with a pool of this pair, for a chart."""
    return _json(market.prices(token_in, token_out, minutes, since))


@app.get(
    "/api/candles",
    summary="Candles of a pair",
    operation_id="getCandles",
    tags=["Market"],
    responses=documented({200: CandleList}, 400),
)
def get_candles(
    token_in: TokenInQuery,
    token_out: TokenOutQuery,
    interval: IntervalQuery = "minute",
    first: FromQuery = None,
    end: ToQuery = None,
) -> Response[Any]:
    """At most 15 minutes by second, 24 hours by minute, or 7 days by hour."""
    answer, closed = market.candles(token_in, token_out, interval, first, end)
    # An hour, because a release with another version of the market may change them.
    headers = {"Cache-Control": "private, max-age=3600"} if closed else None
    return _json(answer, headers=headers)


@app.get(
    "/api/tokens",
    summary="List tokens",
    operation_id="listTokens",
    tags=["Market"],
    responses=documented({200: TokenList}),
)
def list_tokens() -> Response[Any]:
    """Every token that can be traded, with its mint and decimals."""
    return _json(market.token_list())


# --- the service ------------------------------------------------------------------------------


@app.get(
    "/api/me",
    summary="Get the owner of the key",
    operation_id="getMe",
    tags=["Service"],
    responses=documented({200: Me}),
)
def get_me() -> Response[Any]:
    """The owner of the key of this request."""
    return _json(Me(owner=_owner()))


@app.get(
    "/api/health",
    summary="Liveness",
    operation_id="getHealth",
    tags=["Service"],
    responses=documented({200: Health}),
)
def get_health() -> Response[Any]:
    """Answers 200 while the API is up."""
    return _json(Health(version=settings.version, simulate_allowed=settings.simulate_allowed))


@app.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    return _document(openapi.document(app, settings.version))


@app.get("/asyncapi.json", include_in_schema=False)
def get_asyncapi() -> Response[Any]:
    return _document(asyncapi.document(settings.version, settings.web_socket_url))


@app.get("/collection.json", include_in_schema=False)
def get_collection() -> Response[Any]:
    base_url = collection.base_url(app.current_event.raw_event)
    return _document(collection.document(_openapi(), base_url))


@app.get("/llms.txt", include_in_schema=False)
def get_guide() -> Response[Any]:
    return _document(guide.page(_openapi()), "text/plain; charset=utf-8")


@app.get("/", include_in_schema=False)
def get_front_page(if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page("index.html", if_none_match)


@app.get("/docs", include_in_schema=False)
def get_docs(if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page("docs.html", if_none_match)


@app.get("/assets/<name>", include_in_schema=False)
def get_asset(name: str, if_none_match: IfNoneMatch = None) -> Response[Any]:
    return pages.page(name, if_none_match)


def _owner() -> str:
    return admission.require_owner(app.current_event.raw_event)


def _openapi() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(openapi.document(app, settings.version))
    return described


def _document(text: str, content_type: str = "application/json") -> Response[Any]:
    return Response(HTTPStatus.OK, content_type, text, headers={"Cache-Control": "no-cache"})


def _json(
    body: Model, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response[Any]:
    return Response(status, "application/json", body.to_json(), headers={**(headers or {})})
