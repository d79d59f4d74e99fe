"""`uv run watch` against a server that cuts, drops, repeats, refuses and stays silent."""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from functions.client import Patience
from functions.client.client import SUBSCRIPTIONS_MAX
from functions.contract import API_KEY
from infra.cli import connect, watch
from infra.cli.deployed import Deployed
from tests.client.engine import KEY, Engine, Json
from tests.orders import LIFE, ORDER_ID

WAIT_SECONDS_MAX = 30
# It repeats at once, and gives nothing up while a test waits, however busy the machine is.
QUICK = Patience(
    answer=0.1,
    renew=0.3,
    backoff=0.01,
    backoff_max=0.05,
    call=WAIT_SECONDS_MAX,
    lost=WAIT_SECONDS_MAX,
)
GATEWAY_ERROR = {"message": "Internal server error", "connectionId": "c", "requestId": "r"}


class Watcher:
    """The command, run in a thread of its own."""

    def __init__(self, run: Callable[[], SimpleNamespace]) -> None:
        self._result = SimpleNamespace(code=None)

        def target() -> None:
            self._result = run()

        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()

    def result(self) -> SimpleNamespace:
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()
        return self._result


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine()
    monkeypatch.setattr(connect, "find", lambda _name: engine.stack)
    give_up_after(monkeypatch)
    yield engine
    engine.stop()


def give_up_after(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Let the command line wait as long as QUICK says, but for what is given here."""
    monkeypatch.setattr(watch, "Patience", lambda: replace(QUICK, **seconds))


Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line; returns its exit code and its output."""

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["watch", *arguments])
        with pytest.raises(SystemExit) as ended:
            watch.main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=printed.out, err=printed.err)

    return run


@pytest.fixture
def start(run: Run) -> Callable[..., Watcher]:
    """Runs the command line beside the test."""
    return lambda *arguments: Watcher(lambda: run(*arguments))


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def new_order(engine: Engine, *statuses: str, age_s: float = 0) -> str:
    order_id = str(uuid4())
    for status in statuses or ("pending",):
        engine.update(order_id, status, age_s=age_s)
    return order_id


def shown(result: SimpleNamespace, order_id: str) -> list[str]:
    """The statuses that were printed of an order."""
    return [line.split()[2] for line in result.out.splitlines() if order_id in line]


# --- one order


def test_an_ended_order_is_replayed_and_the_exit_code_tells_how_it_ended(
    engine: Engine, run: Run
) -> None:
    ends = {
        "confirmed": 0,
        "failed": watch.ENDED_OTHERWISE,
        "cancelled": watch.ENDED_OTHERWISE,
    }
    for status, code in ends.items():
        order_id = new_order(engine, "pending", status)
        result = run(order_id)
        assert (result.code, shown(result, order_id)) == (code, ["pending", status])
        assert result.err == ""


def test_an_order_is_watched_to_its_end_over_cuts(
    engine: Engine, start: Callable[..., Watcher]
) -> None:
    order_id = new_order(engine)
    watcher = start(order_id)
    for status in LIFE[1:]:
        eventually(lambda: engine.followed(order_id))
        engine.cut()
        engine.update(order_id, status)  # while there is no connection
    result = watcher.result()
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    resumed = [m["sinceSequence"] for m in engine.sent(orderId=order_id)]
    assert resumed == sorted(resumed)
    assert resumed[-1] > 0  # it continues after the last update


def test_a_subscription_without_an_answer_is_sent_again(
    engine: Engine, start: Callable[..., Watcher]
) -> None:
    order_id = new_order(engine, *LIFE)
    engine.answers_instead = [None, GATEWAY_ERROR, {"message": "Forbidden", "requestId": "r"}]
    result = start(order_id).result()
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    assert len(engine.sent(orderId=order_id)) == 4
    assert engine.connects == 2  # the fourth one on a new connection


def test_where_no_subscription_is_ever_answered_the_order_ends_unknown(
    engine: Engine, start: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, call=1)
    engine.answers_instead = [None] * 10_000
    result = start(new_order(engine)).result()
    assert result.code == watch.UNKNOWN
    assert "subscriptions are not answered" in result.err


@pytest.mark.parametrize("order", ["nonsense", ORDER_ID, ""])
def test_an_unknown_order_has_an_exit_code_of_its_own(engine: Engine, run: Run, order: str) -> None:
    result = run(order)
    assert result.code == watch.UNKNOWN
    assert result.err == f"✗ There is no order {order}.\n"


def test_an_order_that_can_have_no_more_followers_is_one_clear_line(
    engine: Engine, run: Run
) -> None:
    engine.answers_instead = [{"error": {"code": "TOO_MANY_FOLLOWERS", "message": "No more."}}]
    assert run(new_order(engine)).code == "✗ No more."


def test_an_order_whose_connection_is_lost_for_too_long_ends_unknown(
    engine: Engine, start: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, lost=1)
    order_id = new_order(engine)
    watcher = start(order_id)
    eventually(lambda: engine.followed(order_id))
    engine.refuse_connections = [500] * 10_000
    engine.cut()
    result = watcher.result()
    assert result.code == watch.UNKNOWN
    assert "✗ There was no connection for" in result.err


def test_stopping_leaves_the_end_of_an_order_unknown(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "print_updates", stop)
    assert run(new_order(engine)).code == watch.UNKNOWN
    assert run().code == 0


# --- keys and connections


def test_a_refused_connection_is_tried_again_as_long_as_the_key_is_valid(
    engine: Engine, run: Run
) -> None:
    order_id = new_order(engine, *LIFE)
    engine.refuse_connections = [403, 401, 500, 429]
    result = run(order_id)
    assert (result.code, shown(result, order_id)) == (0, LIFE)
    assert engine.connects == 5


@pytest.mark.parametrize(
    "key", [API_KEY.new(), "oee_short", "é", "\n"], ids=["unknown", "short", "é", "newline"]
)
def test_a_wrong_key_is_one_clear_line(engine: Engine, run: Run, key: str) -> None:
    assert str(run("--key", key).code).startswith("✗ The API key is not valid")


def test_a_stack_without_a_key_asks_for_one(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Deployed(name="prod", outputs=engine.stack.outputs)
    monkeypatch.setattr(connect, "find", lambda _name: stack)
    monkeypatch.delenv("OEE_API_KEY", raising=False)
    assert run().code == "✗ An API key is needed: give --key, or set OEE_API_KEY."


def test_a_stack_that_does_not_answer_is_one_clear_line(
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


class Endless:
    """Watches all orders until the test has seen enough."""

    def __init__(self, engine: Engine, start: Callable[..., Watcher]) -> None:
        self.engine, self.watcher = engine, start()
        self.wait()

    def wait(self) -> None:
        eventually(lambda: self.engine.followed("*"))

    def result(self) -> SimpleNamespace:
        """The output up to the time at which the key was disabled."""
        self.wait()
        renewed = len(self.engine.sent(orderId="*")) + 2
        eventually(lambda: len(self.engine.sent(orderId="*")) >= renewed)  # the rest is read
        self.engine.key = "disabled"
        self.engine.cut()
        result = self.watcher.result()
        assert result.code == "✗ The API key is not valid for this stack."
        return result


def test_orders_of_before_are_watched_from_their_next_update_on(
    engine: Engine, start: Callable[..., Watcher]
) -> None:
    ended = new_order(engine, *LIFE)
    recent = new_order(engine, "pending", "routing")
    old = new_order(engine, "pending", "routing", age_s=7200)
    watching = Endless(engine, start)
    new = new_order(engine)
    for order_id in (recent, old, new):
        engine.update(order_id, "failed")
    result = watching.result()
    assert shown(result, ended) == []
    assert shown(result, recent) == shown(result, old) == ["failed"]
    assert shown(result, new) == ["pending", "failed"]


def test_what_happens_during_a_cut_is_shown_afterwards(
    engine: Engine, start: Callable[..., Watcher]
) -> None:
    before = new_order(engine, age_s=1800)  # further back than the list is read after a cut
    watching = Endless(engine, start)
    known = new_order(engine)
    engine.cut()
    missed = [new_order(engine, *LIFE) for _ in range(5)]  # on three pages of the list
    engine.update(before, "cancelled")
    engine.update(known, "routing")
    watching.wait()
    engine.update(known, "failed")
    result = watching.result()
    assert [shown(result, order_id) for order_id in missed] == [LIFE] * 5
    assert shown(result, before) == ["cancelled"]
    assert shown(result, known) == ["pending", "routing", "failed"]


def test_a_subscription_to_all_without_its_answer_is_sent_again(
    engine: Engine, start: Callable[..., Watcher]
) -> None:
    engine.answers_instead = [None, GATEWAY_ERROR, None]
    watching = Endless(engine, start)
    assert len(engine.sent(orderId="*")) >= 4
    order_id = new_order(engine, *LIFE)
    assert shown(watching.result(), order_id) == LIFE


def test_a_list_that_cannot_be_read_begins_a_new_connection(
    engine: Engine, start: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_after(monkeypatch, call=0.5)
    watching = Endless(engine, start)
    # Until it has read the answer to its first subscription, it gives up after `call`. After more
    # subscriptions than it sends without an answer, it has read one.
    sent = len(engine.sent(orderId="*"))
    eventually(lambda: len(engine.sent(orderId="*")) > sent + SUBSCRIPTIONS_MAX)
    connects = engine.connects
    engine.http_status = 503
    engine.cut()
    missed = new_order(engine, *LIFE)
    eventually(lambda: engine.connects > connects + 1)
    engine.http_status = 200
    watching.wait()
    assert shown(watching.result(), missed) == LIFE


@pytest.mark.parametrize("seed", range(8))
def test_over_any_cuts_every_update_is_shown_once_and_in_order(
    engine: Engine, start: Callable[..., Watcher], seed: int
) -> None:
    chance = random.Random(seed)
    begun = [new_order(engine) for _ in range(3)]
    watching = Endless(engine, start)
    lives: dict[str, list[str]] = {order_id: [] for order_id in begun}
    for _ in range(150):
        move = chance.random()
        if move < 0.06:
            engine.cut()
        elif move < 0.10:
            with engine.lock:
                engine.answers_instead += chance.choice([[None], [GATEWAY_ERROR]])
                engine.refuse_connections += [chance.choice([403, 429, 500])]
        elif move < 0.14:
            with engine.lock:
                repeated = chance.choice(list(engine.orders.values()))[-1]
                for connection, followed in engine.connections.items():
                    if "*" in followed:  # the publisher retries a batch of pushes
                        engine.push(connection, repeated)
        elif move < 0.40 and len(lives) < 30:
            order_id = new_order(engine)
            lives[order_id] = ["pending"]
        else:
            order_id = chance.choice(list(lives))
            status = LIFE[len(engine.orders[order_id]) % len(LIFE)]
            if status != "pending":
                engine.update(order_id, status)
                lives[order_id].append(status)
        time.sleep(chance.choice([0, 0, 0.005]))
    with engine.lock:
        engine.answers_instead, engine.refuse_connections = [], []
    result = watching.result()
    assert {order_id: shown(result, order_id) for order_id in lives} == lives


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
def test_an_update_is_one_line(update: Json, line: str) -> None:
    pushed = {"orderId": "o", "timestamp": "2026-03-12T20:58:41.103Z", **update}
    assert watch.update_line(pushed).plain == line
