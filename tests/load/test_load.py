"""The figures of a known run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions.contract import iso
from functions.simulation.network import BUILDING_MS
from tests.engine import KEY, Engine
from tests.load.__main__ import (
    delivery,
    endings,
    is_complete,
    medians,
    report,
    simulated_ms,
    summary,
)
from tests.load.run import Run, measure
from tests.load.simulated import landing_ms, quoting_ms
from tests.orders import LIFE
from tests.stack_client import ORDER, Json

ORDER_ID = "01a202d6-b267-7d63-b005-85c70c1a9793"
POSTED_MS = 1_770_000_000_100


def updates_of_an_order(*, lag_ms: int = 50, skip: tuple[int, ...] = ()) -> list[Json]:
    """The updates of an order that took 20 ms beyond the simulated latencies, and a push lag."""
    identity = f"{ORDER_ID}@{iso(POSTED_MS)}"
    signed = POSTED_MS + 20 + quoting_ms(identity) + BUILDING_MS
    times = [POSTED_MS, POSTED_MS + 20, signed - BUILDING_MS, signed]
    times.append(signed + landing_ms(identity, signed))
    updates = [
        {
            "orderId": ORDER_ID,
            "sequence": number,
            "status": status,
            "timestamp": iso(time),
            "_received": (time + lag_ms) / 1000,
        }
        for number, (status, time) in enumerate(zip(LIFE, times, strict=True), start=1)
    ]
    return [update for update in updates if update["sequence"] not in skip]


def run_of(updates: list[Json]) -> Run:
    run = Run(posted={ORDER_ID: (POSTED_MS / 1000, POSTED_MS / 1000 + 0.03)})
    for update in updates:
        run.received(update)
    return run


def test_the_time_beyond_the_simulated_is_that_of_the_engine_and_of_the_push() -> None:
    rows = summary(run_of(updates_of_an_order(lag_ms=50)), 1)
    assert [round(value) for value in rows["beyond the simulated (ms)"]] == [70, 70, 70]
    assert [round(value) for value in rows["push lag (ms)"]] == [50, 50, 50]
    assert [round(value) for value in rows["POST (ms)"]] == [30, 30, 30]


def test_a_retried_order_has_no_time_beyond_the_simulated() -> None:
    updates = updates_of_an_order()
    updates[1]["attempt"] = 2
    assert simulated_ms(updates, 1) is None
    assert "beyond the simulated (ms)" not in summary(run_of(updates), 1)


def test_at_a_latency_scale_of_0_no_time_is_simulated() -> None:
    assert simulated_ms(updates_of_an_order(), 0) == 0


def test_a_missing_a_repeated_and_a_late_update_are_counted() -> None:
    assert delivery(run_of(updates_of_an_order())) == (1, 0, 0, 0)
    assert delivery(run_of(updates_of_an_order(skip=(3,)))) == (1, 1, 0, 0)
    pending, routing, *rest = updates_of_an_order()
    assert delivery(run_of([pending, pending, routing, *rest])) == (1, 0, 1, 0)
    assert delivery(run_of([routing, pending, *rest])) == (1, 0, 0, 1)


def test_the_figures_of_several_runs_are_their_medians() -> None:
    summaries = [summary(run_of(updates_of_an_order(lag_ms=lag)), 1) for lag in (10, 30, 80)]
    assert [round(value) for value in medians(summaries)["push lag (ms)"]] == [30, 30, 30]
    table = report([run_of(updates_of_an_order())], 1, "one")
    assert table.row_count == 9


def test_the_rate_of_a_whole_run_counts_from_the_first_post() -> None:
    run = run_of(updates_of_an_order())
    ((began, _),) = run.posted.values()
    (confirmed,) = (u["_received"] for u in run.updates[ORDER_ID] if u["status"] == "confirmed")
    figures = summary(run, 1)
    assert figures["confirmed/s, first POST to last"] == [1 / (confirmed - began)]


# --- over lost connections


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop()


def measured(engine: Engine, orders: int, *, quiet: float = 60) -> Run:
    return asyncio.run(
        measure(engine.http_url, engine.web_socket_url, KEY, orders, at_once=5, quiet=quiet)
    )


def execute(engine: Engine, orders: int, cut_before: frozenset[int]) -> None:
    """Execute `orders` orders as they are posted, and cut the connections before some updates."""
    ended: set[str] = set()
    number = 0
    while len(ended) < orders:
        for order_id in set(engine.orders) - ended:
            number += 1
            with engine.lock:  # another thread may be storing the order
                if number in cut_before:
                    engine.cut(abruptly=True)
                status = LIFE[len(engine.orders[order_id])]
                engine.update(order_id, status)
            if status == "confirmed":
                ended.add(order_id)
        time.sleep(0.001)


def test_each_update_is_received_over_lost_connections_and_each_loss_is_reported(
    engine: Engine,
) -> None:
    working = threading.Thread(target=execute, args=(engine, 40, frozenset((10, 90))))
    working.start()
    run = measured(engine, 40)
    working.join()
    assert is_complete(run)
    assert delivery(run)[:2] == (40, 0)
    assert 1 <= len(run.cuts) <= 2  # at the second cut the follower may not be connected yet
    read = [u for updates in run.updates.values() for u in updates if "_read" in u]
    assert read
    assert report([run], 1, "cut").row_count >= 10


def test_orders_that_do_not_end_and_requests_that_failed_are_reported(engine: Engine) -> None:
    engine.http_faults[:] = [503] * 4
    run = measured(engine, 12, quiet=0.5)
    assert not is_complete(run)
    assert sum(run.failures.values()) == 4
    assert endings(run) == {"still pending": 12}


def test_orders_that_are_refused_are_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ORDER, "tokenOut", "SOL")
    run = measured(engine, 12)
    assert not is_complete(run)
    assert sum(run.refused.values()) == sum(endings(run).values()) == 12
    assert report([run], 1, "refused").row_count >= 3
