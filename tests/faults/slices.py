"""A small model of an order in slices, enumerated exhaustively.

The model has one twap order, two workers, and a client that cancels. The sweeper re-queues the
order at any time, so a worker may take it at any time, and may die after each step. A slice is an
order of its own, which `model.py` describes: here it executes, or ends without a swap because it
failed or expired. Each action is one atomic step of the real system, and a test can break `Rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.model import Graph, Unsafe, reachable

SLICES = 2  # a third would have the same transitions as the second
# The states of a slice: not stored, not begun (it is pending or rests), executing, and two ends.
ABSENT, WAITS, EXECUTES, SWAPPED, UNFILLED = "absent", "waits", "executes", "swapped", "unfilled"
ENDED = (SWAPPED, UNFILLED)
WORKING, CONFIRMED, FAILED, CANCELLED = "working", "confirmed", "failed", "cancelled"


class Parent(NamedTuple):
    """The twap order: how many slices have begun, are accounted for, and were swapped."""

    sequence: int = 0
    status: str = WORKING
    begun: int = 0
    done: int = 0
    filled: int = 0


class Actor(NamedTuple):
    """A worker's or the client's copy of the order, and the status of its slice as it was read."""

    parent: Parent
    slice: str = ""


class State(NamedTuple):
    """Everything that decides what can happen next; the last actor is the client."""

    parent: Parent = Parent()
    slices: tuple[str, ...] = (ABSENT,) * SLICES
    swaps: tuple[int, ...] = (0,) * SLICES
    actors: tuple[Actor | None, ...] = (None, None, None)


@dataclass(frozen=True)
class Rules:
    """The protocol's rules; a test sets one to False and expects that safety breaks."""

    writes_are_conditional: bool = True
    slices_are_put_once: bool = True
    cancellation_awaits_the_slice: bool = True
    next_slice_awaits_the_last: bool = True


def successors(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every action that is possible in `state`, and the state after it."""
    for index, status in enumerate(state.slices):
        if status == WAITS:
            yield "slice begins", _with_slice(state, index, EXECUTES)
            yield "slice expires", _with_slice(state, index, UNFILLED)
        elif status == EXECUTES:
            swaps = (*state.swaps[:index], state.swaps[index] + 1, *state.swaps[index + 1 :])
            yield "slice swaps", _with_slice(state, index, SWAPPED)._replace(swaps=swaps)
            yield "slice fails", _with_slice(state, index, UNFILLED)
    for number, actor in enumerate(state.actors):
        client = number == len(state.actors) - 1
        if actor is None:
            if state.parent.status == WORKING:
                yield "read the order", _with_actor(state, number, Actor(state.parent))
            continue
        free = _with_actor(state, number, None)
        yield "crash, or end without a write", free
        parent, present = actor
        if parent.begun != parent.done and not present:
            read = Actor(parent, state.slices[parent.begun - 1])
            yield "read the slice", _with_actor(state, number, read)
        elif client:
            yield from _cancel(free, number, actor, rules)
        else:
            yield from _work(free, actor, rules)


def _work(state: State, actor: Actor, rules: Rules) -> Iterator[tuple[str, State]]:
    """A worker's write from its copies."""
    parent, present = actor
    if present == ABSENT:
        index = parent.begun - 1
        if state.slices[index] == ABSENT or not rules.slices_are_put_once:
            yield "store the slice", _with_slice(state, index, WAITS)
    elif not present or present in ENDED or not rules.next_slice_awaits_the_last:
        after = parent._replace(done=parent.begun, filled=parent.filled + (present == SWAPPED))
        if parent.begun == SLICES:
            after = after._replace(status=CONFIRMED if after.filled else FAILED)
            yield from _write(state, parent, after, rules)
        else:
            yield from _write(state, parent, after._replace(begun=parent.begun + 1), rules)
            if present:  # the next slice is not due yet
                yield from _write(state, parent, after, rules)


def _cancel(state: State, number: int, actor: Actor, rules: Rules) -> Iterator[tuple[str, State]]:
    """The client's write from its copies: first of a slice that waits, then of the order."""
    parent, present = actor
    index = parent.begun - 1
    if present == WAITS:
        if state.slices[index] == WAITS:
            cancelled = _with_slice(state, index, UNFILLED)
            yield "cancel slice", _with_actor(cancelled, number, Actor(parent, UNFILLED))
    elif not present or present in ENDED or not rules.cancellation_awaits_the_slice:
        after = parent._replace(status=CANCELLED, done=parent.begun)
        after = after._replace(filled=parent.filled + (present == SWAPPED))
        yield from _write(state, parent, after, rules)


def _write(state: State, copy: Parent, after: Parent, rules: Rules) -> Iterator[tuple[str, State]]:
    """Write the order's next update, if its sequence is still that of the copy."""
    if not rules.writes_are_conditional or copy.sequence == state.parent.sequence:
        if state.parent.status != WORKING:
            raise Unsafe(f"{after} follows {state.parent}")
        yield after.status, state._replace(parent=after._replace(sequence=copy.sequence + 1))


def _with_slice(state: State, index: int, status: str) -> State:
    return state._replace(slices=(*state.slices[:index], status, *state.slices[index + 1 :]))


def _with_actor(state: State, number: int, actor: Actor | None) -> State:
    return state._replace(actors=(*state.actors[:number], actor, *state.actors[number + 1 :]))


def check(state: State) -> None:
    """Raise Unsafe if the state breaks a promise to the client."""
    parent = state.parent
    if max(state.swaps) > 1:
        raise Unsafe(f"a slice executed twice: {state}")
    if sum(status in (WAITS, EXECUTES) for status in state.slices) > 1:
        raise Unsafe(f"two slices are under way: {state}")
    accounted = state.slices[: parent.done]
    if any(status not in ENDED for status in accounted) or parent.filled != sum(
        state.swaps[: parent.done]
    ):
        raise Unsafe(f"the sums are not those of the slices: {state}")
    if parent.status != WORKING and any(status != ABSENT for status in state.slices[parent.done :]):
        raise Unsafe(f"the order has ended before its slice: {state}")


def explore(rules: Rules | None = None) -> Graph[State]:
    """Every reachable state with its successors; raises Unsafe at one that breaks a promise."""
    rules = rules or Rules()
    return reachable([State()], lambda state: successors(state, rules), check)
