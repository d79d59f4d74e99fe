"""The simulated chain: transactions, their signatures, where they land and what they execute.

A transaction contains everything that decides its outcome, including a simulated fault. So the
outcome is a pure function of the transaction: sending it twice is harmless, and any worker can
continue after another one has crashed.
"""

import json
from dataclasses import dataclass, replace
from hashlib import sha512
from typing import Any, cast

from functions.dex import base58
from functions.dex.errors import (
    ExceededSlippage,
    PoolError,
)
from functions.dex.router import Leg, Route
from functions.dex.sides import Fill
from functions.dex.tokens import TOKENS, Token, to_text
from functions.orders.failures import FailureCode
from functions.orders.order import OrderError, Simulate
from functions.orders.settlement import Landed, Outcome
from functions.simulation.faults import Fate, fate
from functions.simulation.market import (
    UNIT_PRICE_MICRO_LAMPORTS,
    UNITS_PER_LEG,
    VERSION,
    program_of,
    snapshot,
)

# A recent blockhash is valid for 150 blocks.
VALID_SLOTS = 150
LANDING_SLOTS_MIN = 5
LANDING_SLOTS_MAX = 7

UNITS_BASE = 60_000
LAMPORTS_PER_SIGNATURE = 5_000


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction by program and name.

    `value` is the instruction's number, if it has one: compute units, micro-lamports per unit,
    lamports to wrap, or the index of the leg that a swap executes.
    """

    program: str
    name: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction: amounts in base units, slots, and its `fate` in the network.

    `identity` is the order's. `seed` and `version` name the market in which it executes; a
    transaction of an early release has no seed, and executes in the market of the setting.

    Its JSON is stored with the order. Earlier and later releases read it, so fields may be added,
    but none may be removed or change its meaning.
    """

    identity: str
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
    seed: str | None = None
    version: int = 1

    @property
    def signature(self) -> str:
        """base58(sha512("{identity}:{attempt}")): 86 to 88 characters that name the transaction."""
        return base58.encode(_signed(self))

    def to_json(self) -> str:
        """Compact JSON text from which `from_json` restores the same transaction."""
        fields = {
            "orderId": self.identity,  # the name in earlier releases
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
            "seed": self.seed,
            "version": self.version,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Transaction":
        """The transaction that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            identity=fields["orderId"],
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
            seed=fields.get("seed"),
            version=fields.get("version", 1),
        )


def build(
    identity: str,
    attempt: int,
    route: Route,
    slot: int,
    *,
    seed: str = "",
    drop_ppm: int = 0,
    simulate: Simulate | None = None,
    last_slot: int | None = None,
) -> Transaction:
    """The transaction of an order's attempt (counted from 1) on `route`, signed at `slot`.

    It executes in this release's version of the market of `seed`. `drop_ppm` and `simulate` decide
    the transaction's fate now, once: see `faults.fate`. It does not land after `last_slot`.
    """
    last_valid_slot = slot + VALID_SLOTS
    return Transaction(
        identity=identity,
        attempt=attempt,
        token_in=route.token_in,
        token_out=route.token_out,
        amount_in=route.in_amount,
        other_amount_threshold=route.other_amount_threshold,
        recent_slot=slot,
        last_valid_slot=last_valid_slot if last_slot is None else min(last_valid_slot, last_slot),
        legs=route.route_plan,
        instructions=_instructions(route),
        fate=fate(identity, attempt, simulate, drop_ppm),
        seed=seed,
        version=VERSION,
    )


def landing_slot(transaction: Transaction) -> int:
    """The slot at which the transaction lands unless it `never_lands`, drawn from its signature."""
    spread = LANDING_SLOTS_MAX - LANDING_SLOTS_MIN + 1
    drawn = int.from_bytes(_signed(transaction)[:8], "big") % spread
    return transaction.recent_slot + LANDING_SLOTS_MIN + drawn


def known_slot(transaction: Transaction) -> int:
    """The first slot at which an observer can know the outcome of the transaction.

    It may land until its last valid slot has passed, so a dropped one is known dead only then.
    """
    if never_lands(transaction):
        return transaction.last_valid_slot + 1
    return landing_slot(transaction)


def never_lands(transaction: Transaction) -> bool:
    """Whether the network drops the transaction, or it would land after its last valid slot."""
    return transaction.fate == "drop" or landing_slot(transaction) > transaction.last_valid_slot


def outcome(transaction: Transaction, seed: str = "") -> Outcome:
    """The outcome of the transaction, against the pools at the slot where it lands.

    `seed` is the setting, for a transaction that has none. Raises UnknownMarket if a newer release
    signed the transaction in a version of the market that this one does not know.
    """
    if never_lands(transaction):
        message = f"The transaction was dropped: slot {transaction.last_valid_slot} passed."
        return OrderError(code=FailureCode.FAILED_TO_LAND, message=message)
    seed = seed if transaction.seed is None else transaction.seed
    legs: list[Leg] = []
    for leg in transaction.legs:
        try:
            fill = _execute(transaction, leg, legs, seed)
        except PoolError as error:
            message = f"{error.program} refused the swap: {error}."
            return _refused(transaction, error.code, message)
        executed = replace(leg, in_amount=fill.amount_in, out_amount=fill.amount_out)
        legs.append(executed)
    out_amount = sum(leg.out_amount for leg in legs if leg.token_out == transaction.token_out)
    if transaction.fate == "slip":
        out_amount = min(out_amount, max(transaction.other_amount_threshold - 1, 0))
    if out_amount < transaction.other_amount_threshold or transaction.fate == "slip":
        return _slipped(transaction, out_amount)
    fills = tuple((leg.in_amount, leg.out_amount) for leg in legs)
    return Landed(out_amount, network_fee(transaction), fills)


def network_fee(transaction: Transaction) -> int:
    """The fee in lamports of a transaction that is executed or refused; a dropped one is free.

    It is 5,000 for the one signature, plus the requested compute units at the transaction's price.
    """
    asked = {step.name: step.value or 0 for step in transaction.instructions}
    micro_lamports = asked["SetComputeUnitLimit"] * asked["SetComputeUnitPrice"]
    return LAMPORTS_PER_SIGNATURE - -micro_lamports // 10**6


def _execute(transaction: Transaction, leg: Leg, done: list[Leg], seed: str) -> Fill:
    amount = leg.in_amount
    if leg.token_in != transaction.token_in:
        amount = _second_hop_amount(transaction, leg, done)
    pools = snapshot(leg.venue, landing_slot(transaction), seed, transaction.version)
    return pools.pool(leg.pool).fill(leg.token_in, amount)


def _second_hop_amount(transaction: Transaction, leg: Leg, done: list[Leg]) -> int:
    """This leg's share of what the first hop really gave; the last leg takes the rest."""
    planned = [other for other in transaction.legs if other.token_in == leg.token_in]
    started = [other for other in done if other.token_in == leg.token_in]
    given = sum(other.out_amount for other in done if other.token_out == leg.token_in)
    if len(started) == len(planned) - 1:
        return given - sum(other.in_amount for other in started)
    return given * leg.in_amount // sum(other.in_amount for other in planned)


def _slipped(transaction: Transaction, out_amount: int) -> OrderError:
    """The slippage error of the last swap's program, with its number."""
    program = program_of(transaction.legs[-1].pool)
    custom, token = program.slippage, transaction.token_out
    threshold = transaction.other_amount_threshold
    got, least = (to_text(units, token.decimals) for units in (out_amount, threshold))
    reason = f"{got} {token.symbol} is less than the {least} that the order accepts"
    if threshold == 0:  # then only a simulated fault gives less
        reason = "the order asked for simulated slippage"
    message = f"{program} refused with {custom} ({custom:#x}): {reason}."
    return _refused(transaction, ExceededSlippage.code, message)


def _refused(transaction: Transaction, code: str, message: str) -> OrderError:
    """The error of a refused transaction, which pays its fee too."""
    fee = network_fee(transaction)
    return OrderError(code=code, message=message, network_fee_lamports=fee)


def _instructions(route: Route) -> tuple[Instruction, ...]:
    """The compute budget, the accounts, the wrapping of SOL, the swaps in order, the unwrapping."""
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
    # Closing the account of wrapped SOL pays out its lamports, which unwraps them.
    if route.token_in == sol or sol in received:
        steps.append(Instruction("Token", "CloseAccount"))
    return tuple(steps)


def _swap(leg: Leg, index: int) -> Instruction:
    program = program_of(leg.pool)
    return Instruction(program.name, program.instruction, index)


def _signed(transaction: Transaction) -> bytes:
    return sha512(f"{transaction.identity}:{transaction.attempt}".encode()).digest()


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
