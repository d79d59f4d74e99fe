"""HTTP at the real gateway: methods, headers and URLs that a browser or a proxy relies on."""

from __future__ import annotations

from urllib.parse import urljoin

from tests.stack_client import Client

PATHS = ("/", "/docs", "/openapi.json", "/api/health", "/api/tokens", "/api/orders")


async def test_head_answers_like_get_without_a_body(client: Client) -> None:
    for path in PATHS:
        got, head = await client.http.get(path), await client.http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "cache-control", "x-content-type-options", "etag"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)


async def test_every_answer_has_cache_control_and_nosniff(
    client: Client,
) -> None:
    for path in (*PATHS, "/api/nothing", "/assets/nothing.js", "/api/orders?limit=0"):
        answer = await client.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["cache-control"], path


async def test_the_location_of_an_order_is_under_the_url_of_the_stack(client: Client) -> None:
    accepted = await client.submit()
    location = urljoin(f"{client.http_url}/api/orders/execute", accepted.headers["location"])
    order = await client.http.get(location)
    assert (order.status_code, order.json()["orderId"]) == (200, accepted.json()["orderId"])


async def test_a_page_and_its_files_accept_unknown_parameters(client: Client) -> None:
    for path in ("/", "/docs", "/assets/docs.js"):
        assert (await client.http.get(path, params={"utm_source": "mail"})).status_code == 200


async def test_a_parameter_that_is_given_twice_is_refused(client: Client) -> None:
    answer = await client.http.get("/api/orders?limit=5&limit=6")
    assert (answer.status_code, answer.json()["errors"]) == (
        400,
        [{"field": "limit", "rule": "is given twice"}],
    )
    assert (await client.http.get("/api/orders?limit=%205")).status_code == 400
