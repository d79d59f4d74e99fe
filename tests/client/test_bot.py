"""The bot of functions/README.md against a server of the documented APIs."""

from __future__ import annotations

import threading

from tests.bot import bot, run_bot
from tests.engine import KEY, Engine
from tests.eventually import eventually

LINES_MAX = 30


def test_the_bot_of_the_readme_is_short() -> None:
    assert len([line for line in bot().splitlines() if line.strip()]) <= LINES_MAX


def test_the_bot_of_the_readme_sells_at_its_limit_and_buys_back() -> None:
    engine = Engine()

    def execute() -> None:
        eventually(lambda: bool(engine.orders))
        (order_id,) = engine.orders
        for status in ("routing", "resting", "building", "submitted"):
            engine.update(order_id, status)
        engine.update(order_id, "confirmed", outAmount="230.1", executedPrice="153.4")

    execution = threading.Thread(target=execute)
    execution.start()
    run = run_bot(engine.http_url, KEY)
    execution.join()
    engine.stop()
    assert run.returncode == 0, run.stderr
    assert [line.split()[1] for line in run.stdout.splitlines()] == [
        *("pending", "routing", "resting", "building", "submitted", "confirmed")
    ]
    sold, bought = engine.requested.values()
    assert (sold["type"], sold["limitPrice"]) == ("limit", "152.6330")
    assert (bought["tokenIn"], bought["amount"]) == ("USDC", "230.1")
