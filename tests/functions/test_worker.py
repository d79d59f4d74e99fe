"""The worker brings every order to one terminal status, whatever faults it meets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from functions import runtime, worker
from functions.contract import RECEIVES_MAX, order_message
from functions.dex.tokens import find
from functions.http import submission
from functions.orders.failures import FailureCode
from functions.orders.order import OrderError, Status, Update
from functions.orders.stored import StoredOrder
from functions.runtime import now_ms, settings, sleep
from functions.simulation import market
from functions.simulation.listings import LISTINGS, Curve, Ladder
from functions.simulation.network import Network
from functions.store import clients, orders, queue
from tests.errors import Killed
from tests.orders import LIFE, ORDER, ORDER_ID, pending_order, statuses_of
from tests.stepping import in_turns, pause_at_calls
from tests.world import World, failing_network


def test_a_batch_of_ten_orders_is_confirmed_in_one_invocation(world: World) -> None:
    ids = [world.submit()["orderId"] for _ in range(10)]
    assert world.work() == []
    assert {world.read(order_id)["status"] for order_id in ids} == {"confirmed"}
    assert world.queued() == 0


def test_the_confirmed_amount_is_that_of_the_pools_at_the_landing_slot(world: World) -> None:
    order_id = world.submit(amount="1000", slippageBps=10_000)["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    quoted, executed = order["route"]["outAmount"], order["outAmount"]
    assert float(executed) == pytest.approx(float(quoted), rel=0.05)
    assert executed != quoted
    execution = order["updates"][-1]["execution"]
    assert order["execution"] == execution
    assert order["networkFeeLamports"] == execution["networkFeeLamports"]
    slipped_bps = (1 - float(executed) / float(quoted)) * 10_000
    assert float(execution["quoteSlippageBps"]) == pytest.approx(slipped_bps, abs=0.02)
    assert len(execution["fills"]) == len(order["route"]["routePlan"])


def test_a_message_delivered_twice_executes_once(world: World) -> None:
    order_id = world.submit()["orderId"]
    queue.enqueue(order_id)
    world.work_until_empty()
    queue.enqueue(order_id)
    world.work_until_empty()
    assert statuses_of(world.read(order_id)) == LIFE


@pytest.mark.parametrize(
    ("crash_after", "call"), [("routing", "ask"), ("building", "sign"), ("submitted", "send")]
)
def test_the_next_worker_resumes_an_order_whose_worker_was_killed_at_any_step(
    world: World, crash_after: str, call: str
) -> None:
    left = world.order_killed_in(call)
    assert left["status"] == crash_after
    world.work_until_empty()
    order = world.read(left["orderId"])
    assert statuses_of(order) == LIFE
    assert order["txHash"] == left.get("txHash", order["txHash"])


def test_an_order_that_kills_its_worker_each_time_keeps_no_other_from_execution(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [world.submit()["orderId"] for _ in range(10)]
    pause_at_calls(clients.dynamodb())
    monkeypatch.setattr(runtime, "at_once", in_turns)
    for _ in range(RECEIVES_MAX):
        with pytest.raises(Killed), failing_network("ask", Killed(), ids[3]):
            world.work()
    ended = {order_id for order_id in ids if world.read(order_id)["status"] == "confirmed"}
    assert ended == set(ids) - {ids[3]}


def test_a_transaction_settles_in_the_market_of_its_signature_after_any_deployment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it could seem reverted, and a second attempt would execute the order twice."""
    before = worker.network
    other_market = next(
        replace(before, seed=f"seed {number}")
        for number in range(100)
        if sol_price(replace(before, seed=f"seed {number}")) < sol_price(before) * 98 // 100
    )
    sent = world.order_killed_in("send")
    assert sent["status"] == "submitted"
    monkeypatch.setattr(worker, "network", other_market)
    world.work_until_empty()
    order = world.read(sent["orderId"])
    assert statuses_of(order) == LIFE
    assert order["txHash"] == sent["txHash"]


def test_an_order_settles_over_a_pool_that_was_closed_after_its_signature(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = world.order_killed_in("send")
    leg, *_ = sent["route"]["routePlan"]
    closed = tuple(
        replace(listing, closed=True) if listing.address == leg["pool"] else listing
        for listing in LISTINGS
    )
    monkeypatch.setattr(market, "LISTINGS", closed)
    market.snapshot.cache_clear()
    later = world.submit()["orderId"]
    world.work_until_empty()
    order, other = world.read(sent["orderId"]), world.read(later)
    assert (order["status"], order["txHash"]) == ("confirmed", sent["txHash"])
    assert other["status"] == "confirmed"
    assert leg["pool"] not in {each["pool"] for each in other["route"]["routePlan"]}
    market.snapshot.cache_clear()


def test_a_route_may_use_several_pools_of_one_venue_and_pair(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = Ladder("SOL", "USDC", 7_500 * 10**6, bin_step=10, number=2)
    again = Curve("SOL", "USDC", 5_000_000 * 10**6, number=2)
    monkeypatch.setattr(market, "LISTINGS", (*LISTINGS, another, again))
    market.snapshot.cache_clear()
    order_id = world.submit(amount="5000", slippageBps=10_000)["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert order["status"] == "confirmed"
    pools = {leg["pool"] for leg in order["route"]["routePlan"]}
    assert {another.address, again.address} < pools
    market.snapshot.cache_clear()


def sol_price(network: Network) -> int:
    """The current price of SOL, in millionths of a USDC."""
    (prices,) = network.prices(find("SOL"), find("USDC"), [now_ms()])
    return int(float(prices["reference"]) * 10**6)


def test_a_worker_whose_order_was_ended_by_another_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit()["orderId"]
    begin = orders.begin_order

    def begin_before_another_worker(update: Update) -> StoredOrder:
        begun = begin(update)
        ended = begun.order.next_update(
            Status.FAILED, 0, error=OrderError(code=FailureCode.INTERNAL, message="")
        )
        orders.append_update(begun.order, begun.owner, ended)
        return begun

    monkeypatch.setattr(orders, "begin_order", begin_before_another_worker)
    assert world.work() == []
    assert statuses_of(world.read(order_id)) == ["pending", "routing", "failed"]


def run_with_fault(world: World, fault: str, **simulate: Any) -> dict[str, Any]:
    order_id = world.submit(simulate={"fault": fault, **simulate})["orderId"]
    world.work_until_empty()
    return world.read(order_id)


def test_an_order_without_quotes_fails_after_three_attempts_with_their_reasons(
    world: World,
) -> None:
    order = run_with_fault(world, "venue_down")
    assert statuses_of(order) == ["pending", "routing", "routing", "routing", "failed"]
    assert [update.get("attempt") for update in order["updates"]] == [None, None, 2, 3, None]
    assert order["error"]["code"] == "QUOTES_UNAVAILABLE"
    assert "raydium (VENUE_DOWN)" in order["error"]["message"]
    assert (order["attempt"], order["failedAt"]) == (3, order["updatedAt"])
    assert all(
        update["error"]["code"] == "QUOTES_UNAVAILABLE" and update["nextRetryAt"]
        for update in order["updates"][2:4]
    )


def test_an_order_is_executed_over_the_venues_that_are_up(world: World) -> None:
    order = run_with_fault(world, "venue_down", venue="meteora")
    assert order["status"] == "confirmed"
    assert "meteora" not in {leg["venue"] for leg in order["route"]["routePlan"]}
    quotes = {quote["venue"]: quote for quote in order["route"]["quotes"]}
    assert quotes["meteora"]["error"] == "VENUE_DOWN"
    assert "outAmount" not in quotes["meteora"]


def test_a_quote_that_times_out_is_retried(world: World) -> None:
    order = run_with_fault(world, "quote_timeout", attempts=1)
    assert statuses_of(order)[:3] == ["pending", "routing", "routing"]
    assert (order["status"], order["attempt"]) == ("confirmed", 2)
    assert "error" not in order


def test_a_dropped_transaction_is_replaced_under_another_signature(world: World) -> None:
    order = run_with_fault(world, "dropped_transaction", attempts=2)
    hashes = [u["txHash"] for u in order["updates"] if u["status"] == "submitted"]
    assert (order["status"], order["attempt"]) == ("confirmed", 3)
    assert len(set(hashes)) == 3
    assert order["txHash"] == hashes[-1]


def test_an_order_whose_transactions_never_land_fails(world: World) -> None:
    assert run_with_fault(world, "dropped_transaction")["error"]["code"] == "FAILED_TO_LAND"


def test_an_order_with_slippage_in_each_attempt_fails_after_the_last(world: World) -> None:
    order = run_with_fault(world, "slippage")
    assert order["error"]["code"] == "SLIPPAGE_TOLERANCE_EXCEEDED"
    assert statuses_of(order).count("submitted") == 3


def test_a_simulated_fault_is_refused_unless_the_stack_allows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "settings", replace(settings, simulate_allowed=False))
    body = ORDER | {"simulate": {"fault": "slippage"}}
    answer = world.http("execute_order", body=body)
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "simulate")


def test_an_order_larger_than_every_route_fails_without_a_retry(world: World) -> None:
    # When it was accepted, the market was deeper.
    orders.create_order(pending_order(at_ms=now_ms(), amount="1000000"), "desk-7")
    queue.enqueue(ORDER_ID)
    world.work_until_empty()
    order = world.read(ORDER_ID)
    assert statuses_of(order) == ["pending", "routing", "failed"]
    assert order["error"]["code"] == "NO_ROUTES_FOUND"


def test_a_malformed_message_fails_no_other(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody="not an order")
    assert len(world.work()) == 1
    assert world.read(order_id)["status"] == "confirmed"


def test_a_retry_is_a_delayed_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "settings", replace(settings, retry_base_ms=10**11))
    order_id = world.submit(simulate={"fault": "venue_down"})["orderId"]
    world.work()
    order = world.read(order_id)
    assert (order["status"], order["attempt"]) == ("routing", 2)
    assert order["nextRetryAt"] > order["updatedAt"]
    assert (world.work(), world.queued()) == ([], 1)
    queue.enqueue(order_id)  # a duplicate message that arrives too early
    world.work()
    assert world.read(order_id) == order


def test_the_sweeper_queues_idle_open_orders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    idle, done = world.submit()["orderId"], world.submit()["orderId"]
    world.cancel(done)
    world.sqs.purge_queue(QueueUrl=world.queue_url)
    assert world.sweep() == 0
    monkeypatch.setattr("functions.sweeper.now_ms", lambda: 4_000_000_000_000)
    assert world.sweep() == 1
    world.work_until_empty()
    assert world.read(idle)["status"] == "confirmed"
    assert world.sweep() == 0


def test_a_dead_letter_ends_its_order_as_failed(world: World) -> None:
    order_id = world.submit()["orderId"]
    sleep(settings.sweep_idle_seconds)
    assert world.deliver_dead_letter(order_message(order_id)) == {"batchItemFailures": []}
    order = world.read(order_id)
    assert (order["status"], order["error"]["code"]) == ("failed", "INTERNAL")
    world.deliver_dead_letter(order_message(order_id))
    assert world.read(order_id) == order


def test_a_dead_letter_stays_in_its_queue_while_its_order_is_not_idle(world: World) -> None:
    order = world.submit()
    sleep(settings.sweep_idle_seconds - 60)
    (left,) = world.deliver_dead_letter(order_message(order["orderId"]))["batchItemFailures"]
    assert left["itemIdentifier"] == "dead"
    assert world.read(order["orderId"]) == order


def test_a_dead_letter_stays_in_its_queue_while_its_order_waits_for_a_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "settings", replace(settings, retry_base_ms=10**11))
    order_id = world.submit(simulate={"fault": "venue_down"})["orderId"]
    world.work()
    order = world.read(order_id)
    assert order["attempt"] == 2
    sleep(settings.sweep_idle_seconds * 10)
    assert world.deliver_dead_letter(order_message(order_id))["batchItemFailures"]
    assert world.read(order_id) == order


def test_an_order_that_hangs_is_reported_as_failed_and_the_rest_of_its_batch_confirmed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [world.submit()["orderId"] for _ in range(3)]

    def all_but_the_last(calls: Sequence[Callable[[], bool]], _seconds: float) -> list[Any]:
        return [call() for call in calls[:-1]] + [None]

    monkeypatch.setattr(runtime, "at_once", all_but_the_last)
    assert len(world.work()) == 1
    assert [world.read(order_id)["status"] for order_id in ids].count("confirmed") == 2


def test_an_order_that_would_outlast_the_invocation_is_queued_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "network", replace(worker.network, latency_scale=100))
    monkeypatch.setattr(worker, "settings", replace(settings, hold_ms=10**9))
    order_id = world.submit()["orderId"]
    assert world.work(seconds=200) == []
    assert world.read(order_id)["status"] == "submitted"
    assert world.queued() == 1


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"orderId":1}', '{"orderId":"x"}'])
def test_a_dead_letter_without_an_order_id_is_acknowledged(world: World, body: str) -> None:
    assert world.deliver_dead_letter(body) == {"batchItemFailures": []}
