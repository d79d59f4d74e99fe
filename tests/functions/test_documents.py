"""The machine-readable documents are valid in their formats, and agree with the API."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest

from functions.http import asyncapi
from functions.http.pages import Pages
from functions.messages import ErrorCode, ProblemCode
from functions.orders.order import Status
from functions.runtime import settings
from functions.simulation.network import VENUES
from functions.websocket import MESSAGE
from infra.cli.node import NODE
from tests.browser import npm_installed, npm_package
from tests.world import World

ASYNCAPI_SCHEMAS = "@asyncapi/specs@6.11.1"
POSTMAN = "postman-collection@5.3.1"
# Postman's own library reads the collection and lists the requests in it.
READ_COLLECTION = """
const { Collection } = require("postman-collection");
let text = "";
process.stdin.on("data", (part) => (text += part)).on("end", () => {
  const collection = new Collection(JSON.parse(text));
  const requests = [];
  collection.forEachItem((item) => requests.push({
    name: item.name,
    method: item.request.method,
    url: item.request.url.toString(),
    path: item.request.url.getPath(),
    body: item.request.body ? item.request.body.raw : null,
    auth: (item.getAuth() || {}).type,
  }));
  const variables = collection.variables.reduce((all, v) => ({ ...all, [v.key]: v.value }), {});
  process.stdout.write(JSON.stringify({ requests, variables }));
});
"""
Json = dict[str, Any]


def served(world: World, path: str, **more: Any) -> str:
    answer = world.http("get_openapi", path=path, owner="", **more)
    assert answer.status == 200
    return str(answer.text)


@pytest.fixture
def described(world: World) -> Json:
    document: Json = json.loads(served(world, "/asyncapi.json"))
    return document


def validator(document: Json, message: str) -> Any:
    """Validates a value against the schema of a message."""
    reference = document["components"]["messages"][message]["payload"]["$ref"]
    return jsonschema_rs.validator_for(
        {"$ref": reference, "components": {"schemas": document["components"]["schemas"]}}
    )


# --- asyncapi.json


def test_the_asyncapi_document_is_valid_by_the_formats_schema(described: Json) -> None:
    schemas = npm_package(ASYNCAPI_SCHEMAS) / "schemas"
    schema = json.loads((schemas / "3.0.0-without-$id.json").read_text())
    found = [
        f"{list(error.instance_path)}: {error.message}"
        for error in jsonschema_rs.validator_for(schema).iter_errors(described)
    ]
    assert found == []
    broken = {**described, "channels": {"connection": {"messages": {"a": 5}}}}
    assert not jsonschema_rs.validator_for(schema).is_valid(broken)


def test_every_reference_of_the_asyncapi_document_resolves(described: Json) -> None:
    def references(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for each in value.values():
                yield from references(each)
        if isinstance(value, list):
            for each in value:
                yield from references(each)

    assert len(set(references(described))) > 20
    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_example_of_a_message_is_valid_by_the_document_and_to_the_function(
    described: Json,
) -> None:
    for name, message in described["components"]["messages"].items():
        for example in message["examples"]:
            assert validator(described, name).is_valid(example["payload"]), (name, example)
            if name in asyncapi.TO_SERVER:
                MESSAGE.validate_python(example["payload"])


def test_every_frame_that_the_websocket_sends_is_valid_by_the_document(
    world: World, described: Json
) -> None:
    world.connect("c")
    order_id = world.submit()["orderId"]
    for message in (
        {"orderId": order_id},
        {"action": "ping"},
        {"action": "subscribe", "orderId": "*"},
        {"action": "unsubscribe", "orderId": "*"},
        {"action": "unknown"},
    ):
        world.send("c", message)
    world.work_until_empty()
    kinds = {"pong": 0, "subscribed": 0, "unsubscribed": 0, "error": 0, "update": 0}
    for frame in world.connections.received["c"]:
        kind = frame.get("type") or ("update" if "status" in frame else "error")
        kinds[kind] += 1
        validator(described, kind).validate(frame)
    assert all(kinds.values()), kinds


def test_the_asyncapi_document_lists_every_code_every_status_and_the_gateways_error(
    described: Json,
) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["ErrorCode"]["enum"] == [*ErrorCode]
    assert schemas["Status"]["enum"] == [*Status]
    for operation in ("subscribe", "unsubscribe", "ping"):
        answers = [m["$ref"] for m in described["operations"][operation]["reply"]["messages"]]
        assert "#/channels/connection/messages/gatewayError" in answers


# --- collection.json


def test_postmans_own_library_reads_every_operation_of_the_collection(world: World) -> None:
    text = served(world, "/collection.json", query={"baseUrl": "http://127.0.0.1:4566/x/"})
    read = subprocess.run(
        [str(NODE), "-e", READ_COLLECTION],
        cwd=npm_installed(POSTMAN),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout)
    assert found["variables"]["baseUrl"] == "http://127.0.0.1:4566/x"
    openapi = json.loads(served(world, "/openapi.json"))
    wanted = {
        (method.upper(), path.replace("{", "{{").replace("}", "}}"))
        for path, operations in openapi["paths"].items()
        for method in operations
    }
    requests = found["requests"]
    assert {(r["method"], r["path"].removeprefix("/{{baseUrl}}")) for r in requests} == wanted
    assert {r["auth"] for r in requests} == {"bearer", "noauth"}


def test_every_get_and_post_of_the_collection_succeeds_unchanged(world: World) -> None:
    collection = json.loads(served(world, "/collection.json"))
    made = {
        "{{orderId}}": world.submit()["orderId"],
        "{{webhookId}}": world.create_webhook("https://desk.example")["webhookId"],
    }
    done = 0
    for folder in collection["item"]:
        for item in folder["item"]:
            request = item["request"]
            path = "/" + "/".join(made.get(part, part) for part in request["url"]["path"])
            query = {
                each["key"]: each["value"]
                for each in request["url"]["query"]
                if not each["disabled"]
            }
            body = {"body": json.loads(request["body"]["raw"])} if "body" in request else {}
            name = {"POST": "execute_order", "GET": "list_orders"}.get(request["method"])
            if name is None:  # it needs an order in a certain state
                continue
            headers = {"idempotency-key": str(done)}
            answer = world.http(name, path=path, query=query, headers=headers, **body)
            assert answer.status in (200, 201, 202), (item["name"], answer.text)
            done += 1
    assert done > 10


# --- llms.txt and openapi.json


def test_the_guide_names_every_operation_message_and_code(world: World) -> None:
    guide = served(world, "/llms.txt")
    openapi = json.loads(served(world, "/openapi.json"))
    for path, operations in openapi["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in guide
    for code in (*ProblemCode, *ErrorCode):
        assert code in guide
    assert len(guide.splitlines()) < 110  # a page


def test_the_examples_of_the_openapi_document_succeed(world: World) -> None:
    openapi = json.loads(served(world, "/openapi.json"))
    body = openapi["paths"]["/api/orders/execute"]["post"]["requestBody"]
    examples = body["content"]["application/json"]["examples"]
    assert "market" in examples
    for name, example in examples.items():
        headers = {"idempotency-key": name}
        answer = world.http("execute_order", body=example["value"], headers=headers)
        assert answer.status == 202
    parameters = openapi["paths"]["/api/quote"]["get"]["parameters"]
    query = {each["name"]: each["example"] for each in parameters if "example" in each}
    assert query.keys() == {"tokenIn", "tokenOut", "amount"}
    assert world.http("get_quote", query=query).status == 200


# --- orders.csv


def test_orders_are_exported_in_pages_with_one_header_line(world: World) -> None:
    made = [world.submit(key=key)["orderId"] for key in ("a", "=cmd()", "c", "d", "e")]
    world.work_until_empty()
    text, path, query = "", "/api/orders.csv", {"limit": "2"}
    for pages in range(1, 10):  # noqa: B007 - the last value is the count
        answer = world.http("list_orders", path=path, query=query)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        text += answer.text
        if "Link" not in answer.headers:
            break
        link = answer.headers["Link"].removeprefix("<").partition(">")[0]
        query = dict(parse_qsl(urlsplit(link).query))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (pages, [row["orderId"] for row in rows]) == (3, made[::-1])
    order = world.read(made[0])
    for name in ("status", "amount", "outAmount", "executedPrice", "txHash", "createdAt"):
        assert rows[-1][name] == order[name]
    assert rows[-1]["endedAt"] == order["confirmedAt"]
    assert rows[-1]["shortfallBps"] == order["execution"]["shortfallBps"]
    assert rows[-2]["clientOrderId"] == "'=cmd()"


def test_an_export_has_the_orders_of_its_time_range_and_its_owner(world: World) -> None:
    order = world.submit()

    def rows(**query: str) -> int:
        answer = world.http("list_orders", path="/api/orders.csv", query=query)
        assert answer.status == 200
        return len(answer.text.splitlines()) - 1

    created = order["createdAt"]
    assert (rows(), rows(**{"from": created}), rows(to=created)) == (1, 1, 0)
    other = world.http("list_orders", path="/api/orders.csv", query={}, owner="other")
    assert len(other.text.splitlines()) == 1
    refused = world.http(
        "list_orders", path="/api/orders.csv", query={"from": created, "to": created}
    )
    assert (refused.status, refused.json["errors"][0]["field"]) == (400, "to")


def test_documents_and_dashboard_name_the_venues_of_the_network(world: World) -> None:
    described = world.http("get_openapi").json["components"]["schemas"]
    venue = described["SimulateRequest"]["properties"]["venue"]
    assert {"type": "string", "enum": [*VENUES]} in venue["anyOf"]
    assert f"const VENUES = {json.dumps(VENUES)};" in str(Pages(settings).page("app.js").body)
