"""One-line breakages of the product, each with the test that must catch it.

Each such test is in the fast lane, except the simulation and one test of tests/load.
"""

from __future__ import annotations

from dataclasses import dataclass

SIMULATION = "simulation"
LIVE = "tests/functions/test_live.py::test_"
ACCESS = "tests/functions/test_access.py::test_"
API = "tests/functions/test_api.py::test_"
WORKER = "tests/functions/test_worker.py::test_"
LISTS = "tests/functions/test_lists.py::test_"
FAULTS = "tests/functions/test_faults.py::test_"
SWEEPER = "tests/functions/test_sweeper.py::test_"
WATCHER = "tests/functions/test_watcher.py::test_"
RESTING = "tests/functions/test_resting.py::test_"
SLICES = "tests/functions/test_slices.py::test_"


@dataclass(frozen=True)
class Mutant:
    """Replaces `before`, which `file` has exactly once, by `after`; then `catches` must fail."""

    name: str
    file: str
    before: str
    after: str
    catches: str = SIMULATION


ORDERS = "functions/store/orders.py"
STORED = "functions/orders/stored.py"
CONNECTIONS = "functions/store/connections.py"
ACCESS_STORE = "functions/store/access.py"
WORKER_FUNCTION = "functions/worker.py"
PUBLISHER = "functions/publisher.py"
WEBSOCKET = "functions/websocket.py"
DEAD_LETTERS = "functions/dead_letters.py"
SWEEPER_FUNCTION = "functions/sweeper.py"
WATCHER_FUNCTION = "functions/watcher.py"
RESTING_STORE = "functions/store/resting.py"
WAITING = "functions/orders/waiting.py"
CHAIN = "functions/simulation/chain.py"
MARKET = "functions/simulation/market.py"
NETWORK = "functions/simulation/network.py"

MUTANTS = (
    # --- the order's item
    Mutant(
        "an update is appended whatever the sequence is",
        ORDERS,
        'ConditionExpression="#sequence = :read"',
        'ConditionExpression="attribute_exists(orderId) OR #sequence = :read"',
    ),
    Mutant(
        "a second order with the same id replaces the first",
        ORDERS,
        'ConditionExpression="attribute_not_exists(orderId)"',
        'ConditionExpression="attribute_not_exists(noSuchAttribute)"',
    ),
    Mutant(
        "a repeated put of an order is treated as another order's",
        ORDERS,
        'write.refused.get("writer") != item["writer"]:',
        "True:",
        FAULTS + "an_order_whose_put_is_repeated_after_a_lost_answer_is_accepted_as_new",
    ),
    Mutant(
        "another order with the same id is treated as a repeated put",
        ORDERS,
        'write.refused.get("writer") != item["writer"]:',
        "False:",
        API + "the_same_key_and_body_answer_the_stored_order",
    ),
    Mutant(
        "a repeated update is treated as another writer's",
        ORDERS,
        "if found != [Entry(update.text, transaction)]:",
        "if True:",
        FAULTS + "a_repeat_of_a_write_whose_answer_was_lost_succeeds",
    ),
    Mutant(
        "another writer's update is treated as a repeated one",
        ORDERS,
        "if found != [Entry(update.text, transaction)]:",
        "if False:",
    ),
    Mutant(
        "an ended order stays in the indexes of open orders",
        STORED,
        'keys = {"openShard": None, "openOwner": None, "idleSince": None}',
        'keys = {"openShard": None, "idleSince": None}',
    ),
    Mutant(
        "an order is loaded without a consistent read",
        ORDERS,
        'Key={"orderId": {"S": order_id}}, ConsistentRead=True',
        'Key={"orderId": {"S": order_id}}, ConsistentRead=False',
    ),
    Mutant(
        "listed orders are read without consistency",
        ORDERS,
        '"ConsistentRead": True,',
        '"ConsistentRead": False,',
        LISTS + "a_list_shows_the_newest_update_of_each_order",
    ),
    Mutant(
        "the list of orders has one page only",
        ORDERS,
        "return page.orders, following and _cursor(following)\n",
        "return page.orders, None\n",
    ),
    Mutant(
        "an order of another owner can be read",
        ORDERS,
        "if stored.owner != owner:",
        "if False:",
        ACCESS + "no_route_finds_an_order_of_another_owner",
    ),
    # --- followers
    Mutant(
        "a follower of an order with the most followers cannot subscribe again",
        ORDERS,
        '" OR attribute_exists(followers.#connection))"',
        '")"',
        LIVE + "an_order_has_at_most_100_followers",
    ),
    Mutant(
        "a repeated subscription changes no item, so it replays nothing",
        ORDERS,
        '"request": {"S": request_id}}',
        '"request": {"S": ""}}',
        LIVE + "a_repeated_subscription_replays_again",
    ),
    Mutant(
        "a replay leaves out one update too many",
        PUBLISHER,
        'else int(follower["M"]["since"]["N"])',
        'else int(follower["M"]["since"]["N"]) + 1',
    ),
    Mutant(
        "followers of all orders receive the update after the new one",
        PUBLISHER,
        "yield from to(connection_id, change.known)",
        "yield from to(connection_id, change.known + 1)",
    ),
    Mutant(
        "a connection whose push failed stays open",
        PUBLISHER,
        "            close(connection_id)\n",
        "",
    ),
    Mutant(
        "the age of a look-up of followers counts from after its query",
        PUBLISHER,
        "LookUp(connections.followers_of_all(owner), now, seconds)",
        "LookUp(connections.followers_of_all(owner), now_ms(), monotonic())",
        LIVE + "the_age_of_a_look_up_counts_from_before_its_query",
    ),
    Mutant(
        "a look-up of followers is used ten times as long",
        PUBLISHER,
        "within = connections.LOOKUP_SECONDS",
        "within = connections.LOOKUP_SECONDS * 10",
    ),
    Mutant(
        "followers of all orders are looked up without a consistent read",
        CONNECTIONS,
        "ConsistentRead=True,",
        "ConsistentRead=False,",
    ),
    Mutant(
        "a follower of all orders is answered at once",
        WEBSOCKET,
        "sleep(ANSWER_AFTER_SECONDS)",
        "sleep(0)",
    ),
    Mutant(
        "a follower of all orders is stored only after the wait",
        WEBSOCKET,
        "            connections.follow_all(owner, connection_id)\n"
        "            sleep(ANSWER_AFTER_SECONDS)\n",
        "            sleep(ANSWER_AFTER_SECONDS)\n"
        "            connections.follow_all(owner, connection_id)\n",
    ),
    Mutant(
        "an unsubscription is written whether the connection follows or not",
        ORDERS,
        '            ConditionExpression="attribute_exists(followers.#connection)",\n',
        "",
        LIVE + "unsubscribing_from_an_order_that_has_expired_leaves_nothing_behind",
    ),
    Mutant(
        "a message after its connection's end stores the connection again",
        CONNECTIONS,
        'ConditionExpression="attribute_exists(expiresAt)"',
        'ConditionExpression="attribute_not_exists(noSuchAttribute)"',
        LIVE + "a_message_after_the_end_of_its_connection_leaves_nothing_behind",
    ),
    Mutant(
        "a late repeat of a connection's put removes its subscriptions",
        CONNECTIONS,
        '            ConditionExpression="attribute_not_exists(connectionId)",\n',
        "",
        LIVE + "a_late_repeat_of_the_write_that_stored_a_connection_leaves_it_a_follower",
    ),
    # --- the worker
    Mutant(
        "the signed transaction is not stored with the update",
        WORKER_FUNCTION,
        "return Append(update, signed.text)",
        "return Append(update)",
    ),
    Mutant(
        "an order is settled before its transaction lands",
        NETWORK,
        "return Pending(wait_ms) if wait_ms > 0 else chain.outcome(transaction, self.seed)",
        "return chain.outcome(transaction, self.seed)",
    ),
    Mutant(
        "a transaction settles in the market of the seed that is set",
        CHAIN,
        "seed = seed if transaction.seed is None else transaction.seed",
        "seed = seed or transaction.seed or ''",
    ),
    Mutant(
        "a transaction does not settle over a pool that was closed since",
        MARKET,
        "if listing.venue != self.venue or listing.since > self.version:",
        "if listing.venue != self.venue or listing.since > self.version or listing.closed:",
    ),
    Mutant(
        "a later order with an expired order's id has the same signatures",
        "functions/orders/order.py",
        'return f"{self.order_id}@{self.created_at}"',
        "return self.order_id",
    ),
    Mutant(
        "every attempt of an order has the same fate and signature",
        CHAIN,
        "        attempt=attempt,\n",
        "        attempt=1,\n",
    ),
    Mutant(
        "an order gets one attempt too many",
        "functions/orders/retries.py",
        "order.attempt >= order.max_attempts:",
        "order.attempt > order.max_attempts:",
        WORKER + "an_order_without_quotes_fails_after_three_attempts_with_their_reasons",
    ),
    Mutant(
        "the message of the next attempt is not sent",
        WORKER_FUNCTION,
        "queue.enqueue(order_id, delay_seconds=-(-ms // 1000))",
        "pass",
        WORKER + "a_retry_is_a_delayed_message",
    ),
    # --- resting orders, and orders in slices
    Mutant(
        "the transaction of a limit order accepts less than the limit",
        WORKER_FUNCTION,
        "least_out = waiting.limit_out(order) if trigger is Trigger.LIMIT else None",
        "least_out = None",
    ),
    Mutant(
        "a transaction may land after the order's expiry",
        NETWORK,
        "last_slot = market.slot_at(unix_ms(order.expires_at)) - 1",
        "last_slot = market.slot_at(unix_ms(order.expires_at)) + 150",
    ),
    Mutant(
        "a limit is reached below its price",
        WAITING,
        "if order.limit_price is not None and out_amount >= limit_out(order):",
        "if order.limit_price is not None:",
    ),
    Mutant(
        "a stop is reached above its price",
        WAITING,
        "if order.stop_price is not None and out_amount <= stop_out(order):",
        "if order.stop_price is not None:",
    ),
    Mutant(
        "a twap order is queued again at once while its slice is under way",
        WAITING,
        "if due <= now_ms and slices.is_under_way(order):",
        "if False:",
        SLICES + "an_order_with_a_long_slice_has_no_message_in_the_queue_until_the_slice_ends",
    ),
    # --- cancelling, dead letters, sweeping
    Mutant(
        "a cancel that conflicts with another update does not read the order again",
        "functions/http/changes.py",
        '            logger.info("order moved on before it was cancelled")\n',
        "            return order.apply(order.next_update(Status.CANCELLED, now_ms()))\n",
    ),
    Mutant(
        "a dead letter fails an order whose transaction may land",
        DEAD_LETTERS,
        "if order.status is not Status.SUBMITTED or signed is None:",
        "if True:",
        FAULTS + "a_dead_letter_confirms_an_order_whose_transaction_landed",
    ),
    Mutant(
        "a dead letter ends an order that waits for its next attempt",
        DEAD_LETTERS,
        "if due_ms is None or now_ms() - due_ms < settings.sweep_idle_seconds * 1000:",
        "if False:",
        WORKER + "a_dead_letter_stays_in_its_queue_while_its_order_waits_for_a_retry",
    ),
    Mutant(
        "a redelivered message is processed together with the others",
        WORKER_FUNCTION,
        "first = [record for record in records if _receives(record) == 1]",
        "return [list(records)]\n    first = []",
        WORKER + "an_order_that_kills_its_worker_each_time_keeps_no_other_from_execution",
    ),
    Mutant(
        "a sweep queues one batch only",
        SWEEPER_FUNCTION,
        "swept += _requeue(due[start : start + SEND_BATCH_MAX])",
        "swept += _requeue(due[start : start + SEND_BATCH_MAX])\n        break",
        SWEEPER + "sixty_idle_orders_get_sixty_messages_in_five_sweeps",
    ),
    Mutant(
        "a sweep queries only the first two shards",
        SWEEPER_FUNCTION,
        "for shard in OPEN_SHARDS[first:] + OPEN_SHARDS[:first]:",
        "for shard in OPEN_SHARDS[:2]:",
    ),
    Mutant(
        "a sweep restarts the idle time of an order that was updated since",
        ORDERS,
        'ConditionExpression="idleSince = :found"',
        'ConditionExpression="attribute_exists(orderId) OR idleSince = :found"',
        SWEEPER + "an_order_that_has_ended_since_the_index_was_written_is_not_queued",
    ),
    Mutant(
        "a sweep does not restart the idle time",
        SWEEPER_FUNCTION,
        "if orders.restart_idle_time(order, now_ms())]",
        "if order]",
        SWEEPER + "orders_whose_workers_die_are_swept_once_in_each_idle_time",
    ),
    # --- waking
    Mutant(
        "a watcher queries an index that may lag only once more",
        WATCHER_FUNCTION,
        "pair.uncertain_until = now + INDEX_LAG_MS",
        "pair.uncertain_until = now + 1_500",
        WATCHER + "an_order_is_woken_though_the_index_had_neither_its_old_nor_its_new_key",
    ),
    Mutant(
        "a watcher does not notice a new resting order with a nearer price",
        WATCHER_FUNCTION,
        "if version != pair.version or now < pair.uncertain_until:",
        "if pair.version is None or now < pair.uncertain_until:",
        WATCHER + "an_order_that_begins_to_rest_nearer_than_all_others_is_woken",
    ),
    Mutant(
        "two watchers tick at the same time",
        WATCHER_FUNCTION,
        "if watched.watcher > began:",
        "if False:",
        WATCHER + "a_watcher_ends_when_a_later_one_ticks_and_a_duplicate_of_it_ends_at_once",
    ),
    Mutant(
        "a watcher ends because of a later one that was killed or has ended",
        WATCHER_FUNCTION,
        "if watched.watcher > began:",
        "if watched.watcher not in (0, began):",
        WATCHER + "an_order_that_still_rests_is_woken_again_unless_the_queue_is_long",
    ),
    Mutant(
        "a watcher that began earlier takes over",
        RESTING_STORE,
        'ConditionExpression="attribute_not_exists(#watcher) OR #watcher < :since"',
        'ConditionExpression="attribute_not_exists(#watcher) OR NOT #watcher = :since"',
        RESTING + "of_several_watchers_only_the_one_that_began_last_ticks",
    ),
    Mutant(
        "a pair is removed although an order has just come to rest in it",
        RESTING_STORE,
        'ConditionExpression="#pair = :version"',
        'ConditionExpression="attribute_exists(#pair) OR #pair = :version"',
        RESTING + "a_pair_that_was_announced_again_is_not_forgotten",
    ),
    Mutant(
        "an order that SQS refuses counts as queued",
        WATCHER_FUNCTION,
        "taken = set(batch) - queue.enqueue_all(batch, woken=True)",
        "taken = set(batch) | queue.enqueue_all(batch, woken=True)",
        WATCHER + "a_message_that_sqs_refuses_is_sent_by_the_next_tick",
    ),
    Mutant(
        "woken orders are queued into a long queue again each second",
        WATCHER_FUNCTION,
        "if again and queue.waiting_messages() < LONG_QUEUE:",
        "if again:",
        WATCHER + "an_order_that_still_rests_is_woken_again_unless_the_queue_is_long",
    ),
    Mutant(
        "a falling price wakes no order",
        RESTING_STORE,
        "falls = self.below is not None and key <= self.below",
        "falls = self.below is not None and key < self.below and key > self.below",
        WATCHER + "a_falling_price_wakes_the_orders_below_it",
    ),
    Mutant(
        "the wake keys have no margin for price changes between the pools",
        WAITING,
        "MARGIN = Fraction(1, 200)",
        "MARGIN = Fraction(0)",
        "tests/load/test_resting.py::"
        "test_the_wake_keys_cover_every_second_in_which_an_order_can_execute",
    ),
    # --- access
    Mutant(
        "an expired ticket opens a connection",
        ACCESS_STORE,
        'ConditionExpression="expiresAt > :now"',
        'ConditionExpression="attribute_exists(id) OR expiresAt > :now"',
        ACCESS + "a_ticket_expires_after_a_minute",
    ),
    Mutant(
        "a disabled key is accepted",
        ACCESS_STORE,
        'if item and "disabledAt" not in item else None',
        "if item else None",
        ACCESS + "a_disabled_key_identifies_no_owner",
    ),
    Mutant(
        "two owners' equal keys are one order",
        "functions/orders/ids.py",
        'f"{owner}\\0{key}"',
        'f"{key}"',
        ACCESS + "two_owners_may_use_the_same_idempotency_key",
    ),
)
