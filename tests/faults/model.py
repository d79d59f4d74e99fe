"""A small model of the order core, enumerated exhaustively.

One order, two messages, two workers, a canceller, the dead-letter function and the sweeper. Each
action is one atomic step of the real system: a conditional write, a receive, a crash. `explore`
visits every state that any interleaving can reach. The statuses and their transitions are the
product's own; the rest of the protocol is restated here, so that the model can be read and broken
on purpose (`Rules`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from functions.orders.order import MAX_ATTEMPTS, TRANSITIONS, Status

RECEIVES_MAX = 2  # enough for every order of crash and redelivery, and keeps the model small
QUEUED, DEAD, GONE = "queued", "dead", "gone"


class Item(NamedTuple):
    """The order as the table holds it; `sent` has one entry for each attempt.

    An entry is what became of that attempt's transaction: "" (none was signed), "?" (not known
    yet), "landed" or "lost".
    """

    sequence: int = 1
    status: Status = Status.PENDING
    attempt: int = 1
    sent: tuple[str, ...] = ("",) * MAX_ATTEMPTS


class Message(NamedTuple):
    """A message of the order: where it is (a worker's number while that worker has it)."""

    place: str | int = QUEUED
    receives: int = 0


class State(NamedTuple):
    """All that decides what can happen next; a worker has a copy of the item as it last saw it."""

    item: Item = Item()
    messages: tuple[Message, ...] = (Message(), Message(GONE))
    workers: tuple[Item | None, ...] = (None, None)
    canceller: bool = False  # it has read the order as pending, and will write
    cancelled: bool = False  # the cancellation was answered with success


@dataclass(frozen=True)
class Rules:
    """The protocol's rules; a test sets one to False and expects that safety breaks."""

    writes_are_conditional: bool = True
    outcome_is_awaited: bool = True
    dead_letter_awaits_the_outcome: bool = True
    sweeper_requeues: bool = True


class Unsafe(AssertionError):
    """A state that breaks a promise."""


def successors(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every action that is possible in `state`, and the state after it."""
    yield from _network(state)
    for number, copy in enumerate(state.workers):
        if copy is None:
            yield from _receive(state, number, rules)
        else:
            yield from _work(state, number, copy, rules)
            yield "crash", _release(state, number)
    yield from _cancel(state, rules)
    yield from _end_dead_letters(state, rules)
    open_order = not state.item.status.terminal
    free = [i for i, message in enumerate(state.messages) if message.place == GONE]
    if rules.sweeper_requeues and open_order and free:
        yield "sweep", _with_message(state, free[0], Message())


def _network(state: State) -> Iterator[tuple[str, State]]:
    for index, outcome in enumerate(state.item.sent):
        if outcome == "?":
            for known in ("landed", "lost"):
                item = state.item._replace(sent=_with_outcome(state.item.sent, index, known))
                yield known, state._replace(item=item)


def _receive(state: State, number: int, rules: Rules) -> Iterator[tuple[str, State]]:
    for index, message in enumerate(state.messages):
        if message.place != QUEUED:
            continue
        if message.receives == RECEIVES_MAX:
            yield "bury", _with_message(state, index, message._replace(place=DEAD))
            continue
        received = message._replace(receives=message.receives + 1)
        yield "crash before the first write", _with_message(state, index, received)
        taken = _with_message(state, index, received._replace(place=number))
        began = _write(taken, Item(), Status.ROUTING, rules) or taken
        yield "begin", _with_copy(began, number, began.item)


def _work(state: State, number: int, copy: Item, rules: Rules) -> Iterator[tuple[str, State]]:
    """One step of a worker from its copy; a refused write ends its work on the order."""
    for status, retries in _next_statuses(copy, state.item.sent, rules):
        written = _write(state, copy, status, rules, retries=retries)
        if written is None:
            yield "stale", _release(state, number, GONE)
        elif retries:  # a delayed message continues the order
            yield "retry", _release(written, number, QUEUED)
        else:
            yield status, _with_copy(written, number, written.item)
    if copy.status.terminal or copy.status is Status.PENDING:
        yield "acknowledge", _release(state, number, GONE)


def _next_statuses(
    copy: Item, sent: tuple[str, ...], rules: Rules
) -> Iterator[tuple[Status, bool]]:
    last = copy.attempt >= MAX_ATTEMPTS
    again = (Status.FAILED, False) if last else (Status.ROUTING, True)
    if copy.status is Status.ROUTING:
        yield from ((Status.BUILDING, False), (Status.FAILED, False), again)
    elif copy.status is Status.BUILDING:
        yield Status.SUBMITTED, False
    elif copy.status is Status.SUBMITTED:
        outcome = sent[copy.attempt - 1]
        if outcome == "landed":
            yield Status.CONFIRMED, False
        elif outcome in ("", "lost") or not rules.outcome_is_awaited:
            yield again


def _cancel(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    if not state.canceller:
        if state.item.status is Status.PENDING:
            yield "ask to cancel", state._replace(canceller=True)
        return
    done = state._replace(canceller=False)
    if written := _write(done, Item(), Status.CANCELLED, rules):
        yield "cancel", written._replace(cancelled=True)
    else:
        yield "too late", done


def _end_dead_letters(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    for index, message in enumerate(state.messages):
        if message.place != DEAD:
            continue
        buried = _with_message(state, index, Message(GONE))
        item = state.item
        if item.status.terminal:
            yield "dead letter of an ended order", buried
            continue
        ending = Status.FAILED
        if item.status is Status.SUBMITTED and rules.dead_letter_awaits_the_outcome:
            outcome = item.sent[item.attempt - 1]
            if outcome == "?":
                continue  # it stays in the dead-letter queue until the outcome is known
            ending = Status.CONFIRMED if outcome == "landed" else Status.FAILED
        written = _write(buried, item, ending, rules)
        assert written is not None
        yield "dead letter", written


def _write(
    state: State, copy: Item, status: Status, rules: Rules, *, retries: bool = False
) -> State | None:
    """The order's next update, on the condition that its sequence is still that of the copy."""
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
    """The worker lets its message go: acknowledged (GONE), or visible again (QUEUED)."""
    index = next(i for i, message in enumerate(state.messages) if message.place == number)
    message = Message(place, state.messages[index].receives if place == QUEUED else 0)
    return _with_copy(_with_message(state, index, message), number, None)


def check(state: State) -> None:
    """Raise Unsafe if the state breaks a promise to the client."""
    item = state.item
    landed = item.sent.count("landed")
    if landed > 1:
        raise Unsafe(f"the order executed {landed} times: {state}")
    if landed and item.status in (Status.FAILED, Status.CANCELLED):
        raise Unsafe(f"the order is {item.status} and has executed: {state}")
    if item.status is Status.CONFIRMED and not landed:
        raise Unsafe(f"the order is confirmed and has not executed: {state}")
    if item.status in (Status.FAILED, Status.CANCELLED) and "?" in item.sent:
        raise Unsafe(f"the order is {item.status} and may still execute: {state}")
    if state.cancelled and (item.status is not Status.CANCELLED or any(item.sent)):
        raise Unsafe(f"the cancelled order went on: {state}")


def explore(rules: Rules | None = None) -> dict[State, list[tuple[str, State]]]:
    """Every reachable state with its successors; raises Unsafe at one that breaks a promise."""
    rules = rules or Rules()
    graph: dict[State, list[tuple[str, State]]] = {}
    unsent = State(messages=(Message(GONE), Message(GONE)))  # the API could not send the message
    waiting = [State(), unsent]
    while waiting:
        state = waiting.pop()
        if state in graph:
            continue
        check(state)
        graph[state] = list(successors(state, rules))
        waiting += [after for _, after in graph[state] if after not in graph]
    return graph


def without_an_end(graph: dict[State, list[tuple[str, State]]]) -> set[State]:
    """The states from which the engine cannot end the order without a cancellation."""
    before: dict[State, list[State]] = defaultdict(list)
    for state, following in graph.items():
        for action, after in following:
            if action != "cancel":
                before[after].append(state)
    ending = [state for state in graph if state.item.status.terminal]
    reached = set(ending)
    while ending:
        for state in before[ending.pop()]:
            if state not in reached:
                reached.add(state)
                ending.append(state)
    return graph.keys() - reached
