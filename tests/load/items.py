"""Items of the orders table, as short as possible: an open order, and the same one ended."""

from __future__ import annotations

from tests.billing import Item

OPEN: Item = {
    "orderId": {"S": "1"},
    "owner": {"S": "desk"},
    "createdAt": {"S": "2026"},
    "openShard": {"S": "5"},
    "openOwner": {"S": "desk"},
    "idleSince": {"S": "2026"},
}
ENDED = {name: OPEN[name] for name in ("orderId", "owner", "createdAt")}
