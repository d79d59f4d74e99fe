"""A small model of an order's protocol, enumerated exhaustively.

The model has one order, two messages, two workers, a client that cancels, the dead-letter function
and the sweeper. For an order that waits for a price it also has the watcher, one change by the
client, and the expiry. Each action is one atomic step of the real system: a conditional write, a
receive or a crash. `explore` visits every state that any interleaving can reach. The statuses and
their transitions are the product's own. The rest of the protocol is restated here, so that a test
can break it on purpose (`Rules`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from functions.contract import MAX_ATTEMPTS
from functions.orders.order import TRANSITIONS, Status

S = TypeVar("S", bound=Hashable)
Graph = dict[S, list[tuple[str, S]]]  # for each state: the actions, and the states after them
# Enough for every sequence of crashes and redeliveries. An order that waits has more states, so its
# messages are received only once.
RECEIVES_MAX = 2
QUEUED, DEAD, GONE = "queued", "dead", "gone"
WAITING_ATTEMPTS = 2  # for an order that waits
UNEXECUTED_ENDINGS = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)


class Item(NamedTuple):
    """The order as the table holds it; `sent` has one entry for each attempt.

    An entry is the outcome of that attempt's transaction: "" (none was signed), "?" (unknown yet),
    "landed", "lost", or "late" (it landed after the order's expiry).
    """

    sequence: int = 1
    status: Status = Status.PENDING
    attempt: int = 1
    sent: tuple[str, ...] = ("",) * MAX_ATTEMPTS


class Message(NamedTuple):
    """A message of the order, and its place: a worker's number while that worker holds it."""

    place: str | int = QUEUED
    receives: int = 0


class State(NamedTuple):
    """Everything that decides what can happen next; a worker has the item as it last read it."""

    item: Item = Item()
    messages: tuple[Message, ...] = (Message(), Message(GONE))
    workers: tuple[Item | None, ...] = (None, None)
    # A client's request to cancel or change the order: the status to write, and the copy it read.
    client: tuple[Status, Item] | None = None
    cancelled: bool = False  # the cancellation was answered with 200
    waits: bool = False  # the order waits for a price
    changed: bool = False  # the one change was requested
    expired: bool | None = None  # whether the order's expiry has passed; None if it has no expiry


@dataclass(frozen=True)
class Rules:
    """The protocol's rules; a test sets one to False and expects that safety breaks."""

    writes_are_conditional: bool = True
    outcome_is_awaited: bool = True
    dead_letter_awaits_the_outcome: bool = True
    sweeper_requeues: bool = True
    # Of orders that wait:
    watcher_wakes: bool = True
    nothing_lands_after_the_expiry: bool = True
    changes_are_conditional: bool = True


class Unsafe(AssertionError):
    """A state that breaks a promise."""


def successors(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every action that is possible in `state`, and the state after it."""
    yield from _network(state, rules)
    for number, copy in enumerate(state.workers):
        if copy is None:
            yield from _receive(state, number, rules)
        else:
            yield from _work(state, number, copy, rules)
            yield "crash", _release(state, number)
    yield from _serve_client(state, rules)
    yield from _end_dead_letters(state, rules)
    if state.waits:
        yield from _wait(state, rules)
    open_order = not state.item.status.terminal
    # The sweeper re-queues a resting order only when its expiry is due.
    idle = open_order and (state.item.status is not Status.RESTING or state.expired)
    free = [i for i, message in enumerate(state.messages) if message.place == GONE]
    if rules.sweeper_requeues and idle and free:
        yield "sweep", _with_message(state, free[0], Message())


def _wait(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Steps on an order that waits: by the watcher, by a change, by its expiry."""
    if state.expired is False:
        yield "pass the expiry", state._replace(expired=True)
    rests = state.item.status is Status.RESTING
    free = [i for i, message in enumerate(state.messages) if message.place == GONE]
    if rules.watcher_wakes and rests and free:
        yield "wake", _with_message(state, free[0], Message())
    if state.client is None and rests and not state.changed and not state.expired:
        request = (Status.RESTING, state.item)
        yield "request to change", state._replace(client=request, changed=True)


def _network(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    for index, outcome in enumerate(state.item.sent):
        if outcome == "?":
            landed = "landed"
            if state.expired:  # its last valid slot has passed
                landed = "lost" if rules.nothing_lands_after_the_expiry else "late"
            for known in (landed, "lost"):
                item = state.item._replace(sent=_with_outcome(state.item.sent, index, known))
                yield known, state._replace(item=item)


def _receive(state: State, number: int, rules: Rules) -> Iterator[tuple[str, State]]:
    for index, message in enumerate(state.messages):
        if message.place != QUEUED:
            continue
        if message.receives == (1 if state.waits else RECEIVES_MAX):
            yield "move to dead letters", _with_message(state, index, message._replace(place=DEAD))
            continue
        received = message._replace(receives=message.receives + 1)
        yield "crash before the first write", _with_message(state, index, received)
        taken = _with_message(state, index, received._replace(place=number))
        pending = Item(sent=("",) * len(state.item.sent))
        began = _write(taken, pending, Status.ROUTING, rules) or taken
        yield "begin", _with_copy(began, number, began.item)


def _work(state: State, number: int, copy: Item, rules: Rules) -> Iterator[tuple[str, State]]:
    """One step of a worker from its copy of the order; a refused write ends its work."""
    if copy.status is Status.RESTING:
        yield "the price is not reached", _release(state, number, GONE)
    for status, retries in _next_statuses(state, copy, rules):
        written = _write(state, copy, status, rules, retries=retries)
        if written is None:
            yield "stale", _release(state, number, GONE)
        elif retries and status is Status.ROUTING:  # a delayed message continues the order
            yield "retry", _release(written, number, QUEUED)
        else:
            yield status, _with_copy(written, number, written.item)
    if copy.status.terminal or copy.status is Status.PENDING:
        yield "acknowledge", _release(state, number, GONE)


def _next_statuses(state: State, copy: Item, rules: Rules) -> Iterator[tuple[Status, bool]]:
    """What a worker may write next, and whether that begins a new attempt."""
    sent = state.item.sent
    last = copy.attempt >= len(sent)
    retry = (Status.FAILED, False) if last else (Status.ROUTING, True)
    if state.waits and state.expired:
        retry = (Status.EXPIRED, False)
    if copy.status in (Status.ROUTING, Status.RESTING) and state.waits and state.expired:
        yield Status.EXPIRED, False
    elif copy.status is Status.ROUTING:
        yield from ((Status.BUILDING, False), (Status.FAILED, False), retry)
        if state.waits:  # an `IOC` order expires instead of resting
            yield from ((Status.RESTING, False), (Status.EXPIRED, False))
    elif copy.status is Status.RESTING:
        yield Status.BUILDING, False
    elif copy.status is Status.BUILDING:
        yield (Status.EXPIRED if state.waits and state.expired else Status.SUBMITTED), False
    elif copy.status is Status.SUBMITTED:
        outcome = sent[copy.attempt - 1]
        if outcome == "landed":
            yield Status.CONFIRMED, False
        elif outcome in ("", "lost", "late") or not rules.outcome_is_awaited:
            yield retry
            if state.waits and not last and not state.expired:  # refused on chain
                yield Status.RESTING, True


def _serve_client(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """A client's request to cancel or change the order: a read, then a conditional write."""
    if state.client is None:
        if state.item.status in (Status.PENDING, Status.RESTING):
            yield "request to cancel", state._replace(client=(Status.CANCELLED, state.item))
        return
    status, copy = state.client
    done = state._replace(client=None)
    if status is Status.RESTING and not rules.changes_are_conditional:
        item = state.item._replace(sequence=state.item.sequence + 1, status=status)
        yield "change", done._replace(item=item)
    elif not (written := _write(done, copy, status, rules)):
        yield "client is refused", done
    elif status is Status.CANCELLED:
        yield "cancel", written._replace(cancelled=True)
    else:
        yield "change", written


def _end_dead_letters(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    for index, message in enumerate(state.messages):
        if message.place != DEAD:
            continue
        removed = _with_message(state, index, Message(GONE))
        item = state.item
        if item.status.terminal:
            yield "dead letter of an ended order", removed
            continue
        if item.status is Status.RESTING and not state.expired:
            yield "dead letter of a resting order", removed
            continue
        ending = Status.EXPIRED if item.status is Status.RESTING else Status.FAILED
        if item.status is Status.SUBMITTED and rules.dead_letter_awaits_the_outcome:
            outcome = item.sent[item.attempt - 1]
            if outcome == "?":
                continue  # the message stays in the dead-letter queue until the outcome is known
            ending = Status.CONFIRMED if outcome == "landed" else Status.FAILED
        written = _write(removed, item, ending, rules)
        assert written is not None
        yield "dead letter", written


def _write(
    state: State, copy: Item, status: Status, rules: Rules, *, retries: bool = False
) -> State | None:
    """Write the order's next update, if its sequence is still that of the copy."""
    item = state.item
    if rules.writes_are_conditional and copy.sequence != item.sequence:
        return None
    if item.status.terminal and not rules.writes_are_conditional:
        raise Unsafe(f"{status} follows the terminal status {item.status}")
    if status not in TRANSITIONS[copy.status]:
        raise Unsafe(f"{status} follows {copy.status}")
    sent = item.sent
    if status is Status.SUBMITTED:
        sent = _with_outcome(sent, item.attempt - 1, "?")
    changed = Item(item.sequence + 1, status, item.attempt + retries, sent)
    return state._replace(item=changed)


def _with_outcome(sent: tuple[str, ...], index: int, outcome: str) -> tuple[str, ...]:
    return (*sent[:index], outcome, *sent[index + 1 :])


def _with_message(state: State, index: int, message: Message) -> State:
    messages = (*state.messages[:index], message, *state.messages[index + 1 :])
    return state._replace(messages=messages)


def _with_copy(state: State, number: int, copy: Item | None) -> State:
    return state._replace(workers=(*state.workers[:number], copy, *state.workers[number + 1 :]))


def _release(state: State, number: int, place: str = QUEUED) -> State:
    """Release the worker's message: acknowledge it (GONE) or make it visible again (QUEUED)."""
    index = next(i for i, message in enumerate(state.messages) if message.place == number)
    message = Message(place, state.messages[index].receives if place == QUEUED else 0)
    return _with_copy(_with_message(state, index, message), number, None)


def check(state: State) -> None:
    """Raise Unsafe if the state breaks a promise to the client."""
    item = state.item
    landed = item.sent.count("landed")
    if landed > 1:
        raise Unsafe(f"the order executed {landed} times: {state}")
    if landed and item.status in UNEXECUTED_ENDINGS:
        raise Unsafe(f"the order is {item.status} and has executed: {state}")
    if item.status is Status.CONFIRMED and not landed:
        raise Unsafe(f"the order is confirmed and has not executed: {state}")
    if "late" in item.sent:
        raise Unsafe(f"the order executed after its expiry: {state}")
    if item.status in UNEXECUTED_ENDINGS and "?" in item.sent:
        raise Unsafe(f"the order is {item.status} and may still execute: {state}")
    if state.cancelled and (item.status is not Status.CANCELLED or landed):
        raise Unsafe(f"the cancelled order went on: {state}")


def explore(rules: Rules | None = None, *, waits: bool = False) -> Graph[State]:
    """Every reachable state with its successors; raises Unsafe at one that breaks a promise.

    The order is a market order, or one that `waits` for a price.
    """
    rules = rules or Rules()
    item = Item(sent=("",) * (WAITING_ATTEMPTS if waits else MAX_ATTEMPTS))
    none = (Message(GONE), Message(GONE))  # the API could not send the message
    first = [State(item, waits=waits), State(item, none, waits=waits)]
    if waits:
        first += [state._replace(expired=False) for state in first]
    return reachable(first, lambda state: successors(state, rules), check)


def reachable(
    first: Iterable[S],
    successors: Callable[[S], Iterable[tuple[str, S]]],
    check: Callable[[S], None],
) -> Graph[S]:
    """Every state that can be reached, with its successors; raises what `check` raises."""
    graph: Graph[S] = {}
    unvisited = list(first)
    while unvisited:
        state = unvisited.pop()
        if state not in graph:
            check(state)
            graph[state] = list(successors(state))
            unvisited += [after for _, after in graph[state] if after not in graph]
    return graph


def without_an_end(
    graph: Graph[S], ended: Callable[[S], bool], left_out: Callable[[str, S], bool]
) -> set[S]:
    """The states from which no state that has `ended` can be reached.

    Steps for which `left_out` is true, by their action and the state after them, do not count.
    """
    before: dict[S, list[S]] = defaultdict(list)
    for state, following in graph.items():
        for action, after in following:
            if not left_out(action, after):
                before[after].append(state)
    unvisited = [state for state in graph if ended(state)]
    found = set(unvisited)
    while unvisited:
        new = set(before[unvisited.pop()]) - found
        found |= new
        unvisited += new
    return graph.keys() - found
