"""Settlement: transactions, their signatures, where they land and what they then execute.

A transaction fixes everything before it is sent, the network's whim included, so that what becomes
of it is a pure function: sending it twice is harmless, and a crash anywhere can be resumed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha512
from typing import Any, cast

from functions.dex import base58
from functions.dex.errors import (
    METEORA_DLMM,
    RAYDIUM_AMM_V4,
    RAYDIUM_CPMM,
    SLIPPAGE_CODES,
    ExceededSlippage,
    PoolError,
)
from functions.dex.pools import Fill
from functions.dex.router import Leg, Route
from functions.dex.tokens import TOKENS, Token, to_text
from functions.simulation.faults import Fate, Simulate, fate
from functions.simulation.market import program_of, snapshot

# A blockhash is accepted for 150 blocks.
VALID_SLOTS = 150
LANDING_SLOTS_MIN = 5
LANDING_SLOTS_MAX = 7

LAMPORTS_PER_SIGNATURE = 5_000
MICRO_LAMPORTS = 10**6
UNIT_PRICE_MICRO_LAMPORTS = 50_000
UNITS_BASE = 60_000
UNITS_PER_LEG = 90_000

_SWAPS = {
    RAYDIUM_CPMM: "SwapBaseInput",
    RAYDIUM_AMM_V4: "SwapBaseInV2",
    METEORA_DLMM: "Swap2",
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction by program and name.

    `value` is its number, if it has one: compute units, micro-lamports per unit, lamports to wrap,
    or the index of the leg that a swap executes.
    """

    program: str
    name: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction: amounts in base units, slots, and the fate the network has for it."""

    order_id: str
    attempt: int
    token_in: Token
    token_out: Token
    amount_in: int
    other_amount_threshold: int
    recent_slot: int
    last_valid_slot: int
    legs: tuple[Leg, ...]
    instructions: tuple[Instruction, ...]
    fate: Fate

    @property
    def signature(self) -> str:
        """base58(sha512("{order_id}:{attempt}")), 86 to 88 characters; it names the transaction."""
        return base58.encode(_signed(self))

    def to_json(self) -> str:
        """Compact JSON text from which `from_json` restores the very same transaction."""
        fields = {
            "orderId": self.order_id,
            "attempt": self.attempt,
            "tokenIn": self.token_in.symbol,
            "tokenOut": self.token_out.symbol,
            "amountIn": self.amount_in,
            "otherAmountThreshold": self.other_amount_threshold,
            "recentSlot": self.recent_slot,
            "lastValidSlot": self.last_valid_slot,
            "legs": [_leg_fields(leg) for leg in self.legs],
            "instructions": [[step.program, step.name, step.value] for step in self.instructions],
            "fate": self.fate,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Transaction":
        """The transaction that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            order_id=fields["orderId"],
            attempt=fields["attempt"],
            token_in=TOKENS[fields["tokenIn"]],
            token_out=TOKENS[fields["tokenOut"]],
            amount_in=fields["amountIn"],
            other_amount_threshold=fields["otherAmountThreshold"],
            recent_slot=fields["recentSlot"],
            last_valid_slot=fields["lastValidSlot"],
            legs=tuple(_leg(leg) for leg in fields["legs"]),
            instructions=tuple(Instruction(*step) for step in fields["instructions"]),
            fate=cast(Fate, fields["fate"]),
        )


@dataclass(frozen=True, slots=True)
class Landed:
    """It executed at `slot`: base units out, the lamports paid, the legs as they were filled."""

    slot: int
    out_amount: int
    fee_lamports: int
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Reverted:
    """It failed on chain at `slot`, fee paid: Solana's error object, our code, and why."""

    slot: int
    instruction_error: Mapping[str, Any]
    code: str
    message: str
    fee_lamports: int


@dataclass(frozen=True, slots=True)
class Expired:
    """It never landed; nobody can know before its last valid slot, `slot`, has passed."""

    slot: int


Outcome = Landed | Reverted | Expired


def build(
    order_id: str,
    attempt: int,
    route: Route,
    slot: int,
    *,
    drop_ppm: int = 0,
    simulate: Simulate | None = None,
) -> Transaction:
    """The transaction of an order's attempt (counted from 1) on `route`, signed at `slot`.

    `drop_ppm` and `simulate` decide its fate now, once, as in `faults.fate`.
    """
    return Transaction(
        order_id=order_id,
        attempt=attempt,
        token_in=route.token_in,
        token_out=route.token_out,
        amount_in=route.in_amount,
        other_amount_threshold=route.other_amount_threshold,
        recent_slot=slot,
        last_valid_slot=slot + VALID_SLOTS,
        legs=route.route_plan,
        instructions=_instructions(route),
        fate=fate(order_id, attempt, simulate, drop_ppm),
    )


def fee_lamports(transaction: Transaction) -> int:
    """What it costs, landed or reverted: 5000 per signature + ⌈price · limit / 10^6⌉ lamports."""
    values = {step.name: step.value or 0 for step in transaction.instructions}
    priority = values["SetComputeUnitPrice"] * values["SetComputeUnitLimit"]
    return LAMPORTS_PER_SIGNATURE - (-priority // MICRO_LAMPORTS)


def landing_slot(transaction: Transaction) -> int:
    """The slot at which it lands unless it is dropped, drawn from its signature's bytes."""
    spread = LANDING_SLOTS_MAX - LANDING_SLOTS_MIN + 1
    drawn = int.from_bytes(_signed(transaction)[:8], "big") % spread
    return transaction.recent_slot + LANDING_SLOTS_MIN + drawn


def outcome(transaction: Transaction, seed: str = "") -> Outcome:
    """What becomes of the transaction in the world `seed`, against the pools where it lands."""
    if transaction.fate == "drop":
        return Expired(transaction.last_valid_slot)
    slot = landing_slot(transaction)
    legs: list[Leg] = []
    for index, leg in enumerate(transaction.legs):
        try:
            fill = _execute(transaction, leg, legs, slot, seed)
        except PoolError as error:
            return _reverted(transaction, slot, index, error)
        executed = replace(
            leg, in_amount=fill.amount_in, out_amount=fill.amount_out, fee_amount=fill.fee
        )
        legs.append(executed)
    out_amount = sum(leg.out_amount for leg in legs if leg.token_out == transaction.token_out)
    threshold = transaction.other_amount_threshold
    if transaction.fate == "slip":
        out_amount = min(out_amount, max(threshold - 1, 0))
    if out_amount < threshold or transaction.fate == "slip":
        slipped = ExceededSlippage(_program(transaction, -1), out_amount, threshold)
        return _reverted(transaction, slot, len(legs) - 1, slipped)
    return Landed(slot, out_amount, fee_lamports(transaction), tuple(legs))


def status_at(transaction: Transaction, slot: int, seed: str = "") -> Outcome | None:
    """What an observer at `slot` knows: None while it may still land."""
    known = outcome(transaction, seed)
    if isinstance(known, Expired):
        return known if slot > known.slot else None
    return known if slot >= known.slot else None


def _execute(transaction: Transaction, leg: Leg, done: list[Leg], slot: int, seed: str) -> Fill:
    amount = leg.in_amount
    if leg.token_in != transaction.token_in:
        amount = _second_hop_amount(transaction, leg, done)
    pool = snapshot(leg.venue, slot, seed).pool(leg.pool)
    return pool.fill(leg.token_in, amount)


def _second_hop_amount(transaction: Transaction, leg: Leg, done: list[Leg]) -> int:
    """This leg's part of what the first hop really gave; the last leg takes the rest."""
    planned = [other for other in transaction.legs if other.token_in == leg.token_in]
    started = [other for other in done if other.token_in == leg.token_in]
    given = sum(other.out_amount for other in done if other.token_out == leg.token_in)
    if len(started) == len(planned) - 1:
        return given - sum(other.in_amount for other in started)
    return given * leg.in_amount // sum(other.in_amount for other in planned)


def _reverted(transaction: Transaction, slot: int, leg: int, error: PoolError) -> Reverted:
    positions = [i for i, step in enumerate(transaction.instructions) if _is_swap(step)]
    detail: Any = {"Custom": error.custom} if error.custom is not None else "InvalidArgument"
    return Reverted(
        slot=slot,
        instruction_error={"InstructionError": [positions[leg], detail]},
        code=error.code,
        message=_message(transaction, error),
        fee_lamports=fee_lamports(transaction),
    )


def _message(transaction: Transaction, error: PoolError) -> str:
    if not isinstance(error, ExceededSlippage):
        return f"{error.program}: {error}"
    token = transaction.token_out
    got, wanted = (to_text(units, token.decimals) for units in (error.amount, error.limit))
    return (
        f"{error.program} refused with {error.custom} ({error.custom:#x}): {got} {token.symbol} "
        f"out is below the {wanted} the order accepts"
    )


def _program(transaction: Transaction, leg: int) -> str:
    return [step.program for step in transaction.instructions if _is_swap(step)][leg]


def _is_swap(step: Instruction) -> bool:
    return step.program in SLIPPAGE_CODES


def _instructions(route: Route) -> tuple[Instruction, ...]:
    """Budget, accounts, wrapping, the swaps in order, unwrapping."""
    limit = UNITS_BASE + UNITS_PER_LEG * len(route.route_plan)
    received = list(dict.fromkeys(leg.token_out for leg in route.route_plan))
    sol = TOKENS["SOL"]
    steps = [
        Instruction("ComputeBudget", "SetComputeUnitLimit", limit),
        Instruction("ComputeBudget", "SetComputeUnitPrice", UNIT_PRICE_MICRO_LAMPORTS),
    ]
    if route.token_in == sol:
        steps += [
            Instruction("AssociatedTokenAccount", "CreateIdempotent"),
            Instruction("SystemProgram", "Transfer", route.in_amount),
            Instruction("Token", "SyncNative"),
        ]
    steps += [Instruction("AssociatedTokenAccount", "CreateIdempotent") for _ in received]
    steps += [_swap(leg, index) for index, leg in enumerate(route.route_plan)]
    # Closing a wrapped account pays its lamports out: that is what unwrapping SOL is.
    if route.token_in == sol or sol in received:
        steps.append(Instruction("Token", "CloseAccount"))
    return tuple(steps)


def _swap(leg: Leg, index: int) -> Instruction:
    program = program_of(leg.pool)
    return Instruction(program, _SWAPS[program], index)


def _signed(transaction: Transaction) -> bytes:
    return sha512(f"{transaction.order_id}:{transaction.attempt}".encode()).digest()


def _leg_fields(leg: Leg) -> list[str | int]:
    return [
        leg.venue,
        leg.pool,
        leg.token_in.symbol,
        leg.token_out.symbol,
        leg.in_amount,
        leg.out_amount,
        leg.fee_amount,
        leg.percent,
    ]


def _leg(fields: list[Any]) -> Leg:
    venue, pool, token_in, token_out, *numbers = fields
    return Leg(venue, pool, TOKENS[token_in], TOKENS[token_out], *numbers)
