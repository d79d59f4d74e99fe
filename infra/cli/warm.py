"""Calls the functions that execute an order, so that no order waits for a cold start."""

import json
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from functions.contract import order_message
from infra.cli.command import Problem
from infra.cli.deployed import Deployed
from infra.cli.printing import Report

# These times suffice on a busy machine.
ANSWER_SECONDS_MAX, RETRIES_SECONDS_MAX = 60, 180
RETRY_SECONDS = 0.5

# The worker cannot process an empty batch. It logs that this message failed.
_NO_ORDER = {
    "Records": [
        {
            "messageId": "warm-up",
            "body": order_message(str(UUID(int=0))),
            "eventSource": "aws:sqs",
            "attributes": {},
        }
    ]
}


def warm(stack: Deployed, report: Report) -> None:
    """Call each of the functions once; no order, message or connection remains.

    API, authorizer and WebSocket function are called as by a client. The worker receives the
    message of an order that does not exist, and the publisher an empty batch. `report` receives the
    number of finished calls. Calls of the APIs are repeated while they time out or fail.

    Raises:
        Problem: a function did not answer, or answered with an error.
    """
    functions = stack.functions()
    sequences = (
        (partial(_list_orders, stack), partial(_ping, stack)),
        (
            partial(_invoke, stack, functions["worker"], _NO_ORDER),
            partial(_invoke, stack, functions["publisher"], {"Records": []}),
        ),
    )
    done, total = count(1), sum(map(len, sequences))

    def call(sequence: tuple[Callable[[], None], ...]) -> None:
        for step in sequence:
            _repeated(step)
            report(next(done), total)

    with ThreadPoolExecutor(len(sequences)) as pool:
        for _ in pool.map(call, sequences):
            pass


class _NotReady(Problem):
    """A call failed, possibly because a function's start took longer than its timeout."""


def _repeated(call: Callable[[], None]) -> None:
    end = time.monotonic() + RETRIES_SECONDS_MAX
    while True:
        try:
            return call()
        except _NotReady:
            if time.monotonic() >= end:
                raise
        time.sleep(RETRY_SECONDS)


def _list_orders(stack: Deployed) -> None:
    with httpx.Client(verify=_tls(stack), trust_env=False, timeout=ANSWER_SECONDS_MAX) as client:
        try:
            answer = client.get(
                f"{stack.output('HttpUrl')}/api/orders?limit=1",
                headers={"Authorization": f"Bearer {stack.api_key}"},
            )
        except httpx.HTTPError as error:
            kind = _NotReady if isinstance(error, httpx.TimeoutException) else Problem
            raise kind(f"The HTTP API does not answer: {error!r}") from error
    if not answer.is_success:
        kind = _NotReady if answer.is_server_error else Problem
        raise kind(f"The HTTP API answers {answer.status_code}: {answer.text}")


def _ping(stack: Deployed) -> None:
    url = stack.web_socket_url
    try:
        with connect(
            url,
            additional_headers={"Authorization": f"Bearer {stack.api_key}"},
            ssl=_tls(stack) if url.startswith("wss:") else None,
            proxy=None,
            open_timeout=ANSWER_SECONDS_MAX,
            ping_timeout=None,
        ) as socket:
            socket.send('{"action":"ping"}')
            socket.recv(ANSWER_SECONDS_MAX)
    except (OSError, WebSocketException) as error:
        passing = isinstance(error, TimeoutError | WebSocketException)
        kind = _NotReady if passing else Problem
        raise kind(f"The WebSocket API does not answer: {error!r}") from error


def _invoke(stack: Deployed, function: str, event: dict[str, Any]) -> None:
    answer = stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    if "FunctionError" in answer:
        raise Problem(f"{function} fails: {json.load(answer['Payload'])}")


def _tls(stack: Deployed) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=stack.ca_bundle)
