"""`uv run watch` against a server that loses, repeats and refuses connections and answers."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from functions.client import Timeouts
from functions.contract import API_KEY
from infra.cli import connect, watch
from infra.cli.deployed import Deployed
from tests.engine import KEY, Engine, Json
from tests.eventually import eventually
from tests.infra.cli.conftest import Ended, Run
from tests.orders import LIFE, ORDER_ID

WAIT_SECONDS_MAX = 30
# Retries follow each other quickly, and no timeout ends before the test's own.
QUICK = Timeouts(
    answer=10,
    renew=0.3,
    backoff=0.01,
    backoff_max=0.05,
    call=WAIT_SECONDS_MAX,
    lost=WAIT_SECONDS_MAX,
)
GATEWAY_ERROR = {"message": "Internal server error", "connectionId": "c", "requestId": "r"}


class RunningCommand:
    """A run of the command in its own thread."""

    def __init__(self, run: Callable[[], Ended]) -> None:
        self._ended: list[Ended] = []
        self._thread = threading.Thread(target=lambda: self._ended.append(run()), daemon=True)
        self._thread.start()

    def result(self) -> Ended:
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()
        (ended,) = self._ended
        return ended


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine()
    monkeypatch.setattr(connect, "find", lambda _name: engine.stack)
    give_up_after(monkeypatch)
    yield engine
    engine.stop()


def give_up_after(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Use the timeouts of QUICK, with these changes."""
    monkeypatch.setattr(connect, "Timeouts", lambda: replace(QUICK, **seconds))


@pytest.fixture
def run(command: Run) -> Run:
    return partial(command, "watch")


Start = Callable[..., RunningCommand]


@pytest.fixture
def start(run: Run) -> Start:
    """Starts the command in another thread."""
    return lambda *arguments: RunningCommand(lambda: run(*arguments))


def shown(result: Ended, order_id: str) -> list[str]:
    """The printed statuses of an order."""
    return [line.split()[2] for line in result.out.splitlines() if order_id in line]


# --- one order


def test_an_ended_order_is_replayed_and_the_exit_code_is_that_of_its_end(
    engine: Engine, run: Run
) -> None:
    ends = {
        "confirmed": 0,
        "failed": watch.ENDED_OTHERWISE,
        "cancelled": watch.ENDED_OTHERWISE,
    }
    for status, code in ends.items():
        order_id = engine.new_order("pending", status)
        result = run(order_id)
        assert (result.code, shown(result, order_id)) == (code, ["pending", status])
        assert result.err == ""


def test_an_order_is_watched_to_its_end_over_lost_connections(engine: Engine, start: Start) -> None:
    order_id = engine.new_order()
    running = start(order_id)
    for status in LIFE[1:]:
        eventually(lambda: engine.followed(order_id))
        engine.cut()
        engine.update(order_id, status)  # while there is no connection
    result = running.result()
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    resumed = [m["sinceSequence"] for m in engine.sent(orderId=order_id)]
    assert resumed == sorted(resumed)
    assert resumed[-1] > 0  # it continues after the last update


def test_a_subscription_without_an_answer_is_sent_again(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, answer=0.1)
    order_id = engine.new_order(*LIFE)
    engine.answers_instead = [None, GATEWAY_ERROR, {"message": "Forbidden", "requestId": "r"}]
    result = start(order_id).result()
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    assert len(engine.sent(orderId=order_id)) >= 4
    assert engine.connects >= 2  # the fourth subscription is on a new connection


def test_without_an_answer_to_any_subscription_the_exit_code_is_unknown(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, call=1, answer=0.1)
    engine.answers_instead = [None] * 10_000
    result = start(engine.new_order()).result()
    assert result.code == watch.UNKNOWN
    assert "subscriptions are not answered" in result.err


@pytest.mark.parametrize("order", ["nonsense", ORDER_ID, ""])
def test_an_order_that_does_not_exist_is_the_exit_code_unknown(
    engine: Engine, run: Run, order: str
) -> None:
    result = run(order)
    assert result.code == watch.UNKNOWN
    assert result.err == f"✗ There is no order {order}.\n"


def test_too_many_followers_of_an_order_are_an_error_in_one_line(engine: Engine, run: Run) -> None:
    refusal: Json = {"error": {"code": "TOO_MANY_FOLLOWERS", "message": "No more."}}
    engine.answers_instead = [refusal] * 100
    assert run(engine.new_order()).code == "✗ No more."


def test_after_too_long_without_a_connection_the_exit_code_is_unknown(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, lost=1)
    order_id = engine.new_order()
    running = start(order_id)
    eventually(lambda: engine.followed(order_id))
    engine.refuse_connections = [500] * 10_000
    engine.cut()
    result = running.result()
    assert result.code == watch.UNKNOWN
    assert "✗ There was no connection for" in result.err


def test_interrupting_the_watch_of_one_order_is_the_exit_code_unknown(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "print_updates", stop)
    assert run(engine.new_order()).code == watch.UNKNOWN
    assert run().code == 0


# --- keys and connections


def test_a_refused_connection_is_retried_as_long_as_the_key_is_valid(
    engine: Engine, run: Run
) -> None:
    order_id = engine.new_order(*LIFE)
    engine.refuse_connections = [403, 401, 500, 429]
    result = run(order_id)
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    assert engine.connects == 5


@pytest.mark.parametrize(
    "key", [API_KEY.new(), "oee_short", "é", "\n"], ids=["unknown", "short", "é", "newline"]
)
def test_an_invalid_key_is_an_error_in_one_line(engine: Engine, run: Run, key: str) -> None:
    assert str(run("--key", key).code).startswith("✗ The API key is not valid")


def test_without_an_api_key_the_error_asks_for_one(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Deployed(name="prod", outputs=engine.stack.outputs)
    monkeypatch.setattr(connect, "find", lambda _name: stack)
    monkeypatch.delenv("OEE_API_KEY", raising=False)
    assert run().code == "✗ An API key is needed: give --key, or set OEE_API_KEY."


def test_a_stack_that_does_not_answer_is_an_error_in_one_line(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    urls = {"WebSocketUrl": f"ws://127.0.0.1:{port}", "HttpUrl": f"http://127.0.0.1:{port}"}
    stack = Deployed(name="engine", outputs=urls, endpoint_url="local", api_key=KEY)
    monkeypatch.setattr(connect, "find", lambda _name: stack)
    give_up_after(monkeypatch, call=1)
    result = run()
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("✗ There was no connection for 1 s: ")


# --- all orders


class WatchOfAll:
    """The command for all orders, which runs until `result` ends it."""

    def __init__(self, engine: Engine, start: Start) -> None:
        self.engine, self.running = engine, start()
        self.wait()

    def wait(self) -> None:
        eventually(lambda: self.engine.followed("*"))

    def reads(self) -> int:
        """How many times the command has begun to read the list of the open orders."""
        paths = list(self.engine.requests)
        return sum("status=open" in path and "cursor=" not in path for path in paths)

    def result(self) -> Ended:
        """End the command by disabling its key; returns its output."""
        self.wait()
        reads = self.reads()
        # The first read finds all orders, which are printed before the second read begins.
        eventually(lambda: self.reads() >= reads + 2)
        self.engine.key = "disabled"
        self.engine.cut()
        result = self.running.result()
        assert result.code == "✗ The API key is not valid for this stack."
        return result


def test_earlier_orders_are_watched_from_their_next_update_on(engine: Engine, start: Start) -> None:
    ended = engine.new_order(*LIFE)
    recent = engine.new_order("pending", "routing")
    old = engine.new_order("pending", "routing", age_s=7200)
    watch_of_all = WatchOfAll(engine, start)
    new = engine.new_order()
    for order_id in (recent, old, new):
        engine.update(order_id, "failed")
    result = watch_of_all.result()
    assert shown(result, ended) == []
    assert shown(result, recent) == shown(result, old) == ["failed"]
    assert shown(result, new) == ["pending", "failed"]


def test_updates_missed_while_disconnected_are_shown_after_the_reconnect(
    engine: Engine, start: Start
) -> None:
    before = engine.new_order(age_s=1800)  # older than what is read of the list after a cut
    watch_of_all = WatchOfAll(engine, start)
    known = engine.new_order()
    engine.cut()
    missed = [engine.new_order(*LIFE) for _ in range(5)]  # on three pages of the list
    engine.update(before, "cancelled")
    engine.update(known, "routing")
    watch_of_all.wait()
    engine.update(known, "failed")
    result = watch_of_all.result()
    assert [shown(result, order_id) for order_id in missed] == [LIFE] * 5
    assert shown(result, before) == ["cancelled"]
    assert shown(result, known) == ["pending", "routing", "failed"]


def test_a_subscription_to_all_orders_without_an_answer_is_sent_again(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, answer=0.1)
    engine.answers_instead = [None, GATEWAY_ERROR, None]
    watch_of_all = WatchOfAll(engine, start)
    assert len(engine.sent(orderId="*")) >= 4
    order_id = engine.new_order(*LIFE)
    assert shown(watch_of_all.result(), order_id) == LIFE


def test_after_a_failed_read_of_the_list_the_command_connects_again(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, call=0.5)
    watch_of_all = WatchOfAll(engine, start)
    # `call` limits only the wait for the first answer, which precedes a second subscription.
    eventually(lambda: watch_of_all.reads() >= 3)  # at its start, and for two subscriptions
    connects = engine.connects
    engine.http_status = 503
    engine.cut()
    missed = engine.new_order(*LIFE)
    eventually(lambda: engine.connects > connects + 1)
    engine.http_status = 200
    watch_of_all.wait()
    assert shown(watch_of_all.result(), missed) == LIFE


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 8))]
)
def test_over_random_lost_connections_every_update_is_shown_once_and_in_order(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    give_up_after(monkeypatch, answer=0.1)
    drawn = random.Random(seed)
    earlier = [engine.new_order() for _ in range(3)]
    watch_of_all = WatchOfAll(engine, start)
    expected: dict[str, list[str]] = {order_id: [] for order_id in earlier}
    for _ in range(150):
        move = drawn.random()
        if move < 0.06:
            engine.cut()
        elif move < 0.10:
            with engine.lock:
                engine.answers_instead += drawn.choice([[None], [GATEWAY_ERROR]])
                engine.refuse_connections += [drawn.choice([403, 429, 500])]
        elif move < 0.14:
            with engine.lock:
                repeated = drawn.choice(list(engine.orders.values()))[-1]
                for connection, followed in engine.connections.items():
                    if "*" in followed:  # the publisher retries a batch of pushes
                        engine.push(connection, repeated)
        elif move < 0.40 and len(expected) < 30:
            order_id = engine.new_order()
            expected[order_id] = ["pending"]
        else:
            order_id = drawn.choice(list(expected))
            status = LIFE[len(engine.orders[order_id]) % len(LIFE)]
            if status != "pending":
                engine.update(order_id, status)
                expected[order_id].append(status)
        time.sleep(drawn.choice([0, 0, 0.005]))
    with engine.lock:
        engine.answers_instead, engine.refuse_connections = [], []
    result = watch_of_all.result()
    assert {order_id: shown(result, order_id) for order_id in expected} == expected


# --- lines


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (
            {"status": "confirmed", "txHash": "5h", "outAmount": "1", "executedPrice": "2"},
            "20:58:41.103  o  confirmed  txHash 5h outAmount 1 executedPrice 2",
        ),
        (
            {"status": "failed", "error": {"code": "C", "message": "why"}},
            "20:58:41.103  o  failed     error C: why",
        ),
        (
            {"status": "routing", "attempt": 2, "nextRetryAt": "2026-03-12T20:58:42.000Z"},
            "20:58:41.103  o  routing    attempt 2 nextRetryAt 2026-03-12T20:58:42.000Z",
        ),
        ({"status": "building", "route": {"reason": "r"}}, "20:58:41.103  o  building   route r"),
        ({"status": "of a newer release"}, "20:58:41.103  o  of a newer release"),
    ],
)
def test_an_update_is_printed_in_one_line(update: Json, line: str) -> None:
    pushed = {"orderId": "o", "timestamp": "2026-03-12T20:58:41.103Z", **update}
    assert watch.update_line(pushed).plain == line
