"""Stored items: packed text is read back exactly, also from items of earlier releases."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from functions.orders.order import Order, Status
from functions.orders.packed import pack, unpack
from functions.orders.stored import (
    Entry,
    entries,
    entry_of,
    new_item,
    request_of,
    stored_order,
)
from tests.orders import REQUEST, advanced, pending_order, transactions

ORDER_ID = "01a223ed-5c31-7705-9d46-d34bd560036a"
# What a stack has stored stays readable: these bytes never change.
STORED: dict[str, Any] = {
    "orderId": {"S": ORDER_ID},
    "owner": {"S": "desk-7"},
    "createdAt": {"S": "2026-11-28T20:51:27.921Z"},
    "request": {"B": b64decode("o7iCAgA=")},
    "sequence": {"N": "3"},
    "updates": {
        "L": [
            {"B": b64decode("Q84pxJhDTt2ExVqlWgA=")},
            {"B": b64decode("Q84RxKgnsT4B10GGhrpGFiFGBlamhlZG5nqWRoZRSrUA")},
            {
                "B": b64decode(
                    "pZdLb4JAFIX/ymxctSFzhzuvrY9IrDHUVG3dgQW0prS+ZeF/L2AfQoFiyoLdcOZcTvKd+y/hGkgsVS5G"
                    "JeRiA6gNbirJzXJqAipDaqCinBRagULNoQqjzJCiPkp/WPUJNWs5mrq7fXPqNQcjpbvNyH6ezNa2Y89a"
                    "Zse1wq1YOMOZz/yDqKZv3K+y8KUGU1wCxu/8eJJhKppOJ49Cmp4Ql2Bm6pJ9vyww18LhOApWwUptj8Np"
                    "ELbf2j05j6LlBP3Qbz+9drq93R3vd9ZXWzjfX0LeAqKhGAUTCyyA/DrxbUGySgtm4EVmS29GfXvi2K73"
                    "rr1jrz9fjLd6sDFR7g/3AI8PlrvkLxkL5xtXdiARJwTjIMmqjGYtABdKQr4bXdN+Mh//O935CaYco7pG"
                    "LUqFKJdalQslD9Ooi9KGtXpVooJKK8aqVDhlKMwSlYJilq4ahKkGuSHZjYNI1iD7hUPi/3ub7EchKSlz"
                    "EWEGQFllq65iSkuUEvTp9AE="
                )
            },
        ]
    },
    "followers": {"M": {}},
    "openShard": {"S": "2"},
    "openOwner": {"S": "desk-7"},
    "idleSince": {"S": "2026-11-28T20:51:30.000Z"},
    "writer": {"S": "69b5586276b7"},
}


def item_of(order: Order) -> dict[str, Any]:
    """The item of an order whose updates were stored one by one, the last with a transaction."""
    first = order.model_copy(update={"updates": order.updates[:1]})
    item = new_item(first, "desk-7", writer="w")
    for number, update in enumerate(order.updates[1:], start=1):
        signed = '{"fate":"land"}' if update.status is Status.SUBMITTED else None
        item["updates"]["L"].append(entry_of(update, order.updates[:number], signed))
    return item


def submitted() -> Order:
    order = pending_order(ORDER_ID, 1_795_899_087_921)
    statuses = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    return advanced(order, *statuses, at_ms=1_795_899_088_000)


def as_text(item: dict[str, Any]) -> dict[str, Any]:
    """The item as releases before packing stored it."""
    found = entries(item)
    signed = {"transaction": {"S": transactions(item)[-1]}} if transactions(item) else {}
    return {
        **item,
        "request": {"S": json.dumps(request_of(item))},
        "updates": {"L": [{"S": each.text} for each in found]},
        **signed,
    }


def test_an_item_that_a_stack_stored_stays_readable() -> None:
    order, owner, signed, _ = stored_order(STORED)
    assert (order.order_id, owner, signed) == (ORDER_ID, "desk-7", None)
    assert (order.amount, order.status) == ("1", Status.BUILDING)
    assert request_of(STORED) == REQUEST
    assert [json.loads(each.text)["sequence"] for each in entries(STORED)] == [1, 2, 3]
    assert order.route is not None
    assert [leg.out_amount for leg in order.route.route_plan] == [
        "17.928053",
        "44.820134",
        "149.538753",
    ]
    assert order.route.slot == 4489747719


def test_an_order_is_read_back_with_the_transaction_stored_with_its_last_update() -> None:
    order = submitted()
    stored = stored_order(item_of(order))
    assert stored.order == order
    assert stored.transaction == '{"fate":"land"}'
    assert entries(item_of(order))[-1] == Entry(order.updates[-1].text, '{"fate":"land"}')


def test_an_item_of_an_earlier_release_is_read_and_continued() -> None:
    order = submitted()
    old = as_text(item_of(order))
    assert stored_order(old) == stored_order(item_of(order))
    ended = order.apply(order.next_update(Status.CONFIRMED, 1_795_899_090_000, out_amount="1"))
    old["updates"]["L"].append(entry_of(ended.updates[-1], order.updates, None))
    assert stored_order(old).order == ended
    assert stored_order(old).transaction == '{"fate":"land"}'


def test_the_transaction_of_the_last_attempt_is_current_not_the_one_of_an_earlier_release() -> None:
    order = submitted()
    old = as_text(item_of(order))
    for status in (Status.ROUTING, Status.BUILDING, Status.SUBMITTED):
        update = order.next_update(status, 1_795_899_100_000)
        signed = '{"fate":"drop"}' if status is Status.SUBMITTED else None
        old["updates"]["L"].append(entry_of(update, order.updates, signed))
        order = order.apply(update)
    assert stored_order(old).transaction == '{"fate":"drop"}'
    assert transactions(old) == ['{"fate":"land"}', '{"fate":"drop"}']


def test_fields_of_a_newer_release_stay_in_the_text_and_later_updates_are_read() -> None:
    order = submitted()
    item = item_of(order)
    texts = [each.text for each in entries(item)]
    texts[2] = texts[2][:-1] + ',"newer":{"é":1}}'
    newer = as_text(item) | {"updates": {"L": [{"S": text} for text in texts]}}
    read = stored_order(newer).order
    update = read.next_update(Status.CONFIRMED, 1_795_899_090_000)
    newer["updates"]["L"].append(entry_of(update, read.updates, None))
    assert [each.text for each in entries(newer)] == [*texts, update.text]


@pytest.mark.parametrize("text", ["", "{}", "é" * 9, "x" * 70_000])
def test_any_packed_text_is_read_back(text: str) -> None:
    for known in ([], ["a", text], [text * 2]):
        assert unpack(pack(text, known), known) == text


def test_text_that_repeats_known_text_packs_to_few_bytes() -> None:
    text = json.dumps({"number": list(range(100))})
    assert len(pack(text, [text])) < 10 < len(pack(text)) < len(text)
