"""Transactions: their contents, their landing, and their outcomes."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha512
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from functions.dex import base58
from functions.dex.mixture import LEGS_MAX
from functions.dex.router import Route, find_route
from functions.dex.tokens import TOKENS, Token
from functions.orders.order import OrderError, Simulate
from functions.orders.settlement import Landed
from functions.simulation import chain, market
from functions.simulation.chain import Transaction
from functions.simulation.market import VENUES, VERSION, UnknownMarket, program_of, snapshot
from tests.unit.figures import figures

SLOT = 4_400_000_000
# A transaction as the first release stored it, before transactions named their market.
STORED_BY_AN_EARLY_RELEASE = """
{"orderId":"0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d","attempt":2,"tokenIn":"JUP","tokenOut":"USDC",
"amountIn":20000000000,"otherAmountThreshold":9106886249,"recentSlot":4400000000,
"lastValidSlot":4400000150,"legs":[["meteora","GQAXfvEEKyENfMZvoAPFP5dJRMdN3nb8XXsUt2aVDiaR",
"JUP","USDC",14502929688,6636178082,36889120,73],["raydium",
"HQp1ns8T4NXLyxTsbw3CjEuuMX8p7EpyAjvU1NqgK5CP","JUP","USDC",5497070312,2516471414,13742676,27]],
"instructions":[["ComputeBudget","SetComputeUnitLimit",240000],
["ComputeBudget","SetComputeUnitPrice",50000],["AssociatedTokenAccount","CreateIdempotent",null],
["meteora-dlmm","Swap2",0],["raydium-cpmm","SwapBaseInput",1]],"fate":"land"}
"""
SLIPPED = "SLIPPAGE_TOLERANCE_EXCEEDED"


def route(
    token_in: str,
    token_out: str,
    amount: int,
    *,
    slippage_bps: int = 50,
    slot: int = SLOT,
    venues: Sequence[str] = VENUES,
) -> Route:
    pools = {venue: snapshot(venue, slot) for venue in venues}
    one, other = TOKENS[token_in], TOKENS[token_out]
    return find_route(one, other, amount * 10**one.decimals, slippage_bps, pools)


def built(token_in: str, token_out: str, amount: int, **options: Any) -> Transaction:
    slot = options.pop("slot", SLOT)
    order_id = options.pop("order_id", "order-1")
    routing = {name: options.pop(name) for name in ("slippage_bps", "venues") if name in options}
    found = route(token_in, token_out, amount, slot=slot, **routing)
    return chain.build(order_id, 1, found, slot, **options)


def names(transaction: Transaction) -> list[str]:
    return [f"{step.program}.{step.name}" for step in transaction.instructions]


@figures("mock signature")
def test_a_signature_is_base58_of_sha512(given: dict[str, str], expected: dict[str, Any]) -> None:
    text = given["order_id"]
    if ":" in text:
        order_id, attempt = text.split(":")
        transaction = replace(built("SOL", "USDC", 1), identity=order_id, attempt=int(attempt))
        signature = transaction.signature
    else:
        signature = base58.encode(sha512(text.encode()).digest())
    assert (signature, len(signature)) == (expected["signature"], expected["length"])


def test_each_attempt_has_its_own_signature() -> None:
    found = route("SOL", "USDC", 1)
    signatures = {chain.build("order-1", i, found, SLOT).signature for i in (1, 2, 3)}
    assert len(signatures) == 3
    assert all(86 <= len(signature) <= 88 for signature in signatures)


def test_a_transaction_stored_by_an_early_release_settles_as_it_did_then() -> None:
    """It names no seed and no version: it executes in version 1 of the deployment's seed."""
    transaction = Transaction.from_json(STORED_BY_AN_EARLY_RELEASE)
    assert transaction.signature == (
        "BvzDs1TmZa6fM1AersK37Ce4nJjoLLT4cGum5rBCS5pUMQHuxFF9CuJ14hawWoBzSsG1qJZKFff8pUQ4j7zbjMV"
    )
    assert chain.landing_slot(transaction) == SLOT + 7
    landed = chain.outcome(transaction, "a seed")
    assert isinstance(landed, Landed)
    assert (landed.out_amount, landed.network_fee_lamports) == (9_152_543_566, 17_000)


def test_a_signed_transaction_keeps_its_seed_when_the_deployments_seed_changes() -> None:
    signed = built("RAY", "USDC", 100, seed="a seed")
    stored = Transaction.from_json(signed.to_json())
    assert chain.outcome(stored, "another") == chain.outcome(signed) == chain.outcome(signed, "x")


def test_a_field_that_a_newer_release_added_is_ignored() -> None:
    signed = built("RAY", "USDC", 100)
    fields = json.loads(signed.to_json()) | {"newer": 1}
    assert Transaction.from_json(json.dumps(fields)) == signed


def test_a_transaction_of_an_unknown_version_of_the_market_is_not_settled() -> None:
    newer = replace(built("RAY", "USDC", 100), version=10**6)
    with pytest.raises(UnknownMarket, match="version 1000000"):
        chain.outcome(newer)


def test_a_release_settles_a_transaction_of_a_later_market_version_that_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market, "LAST_KNOWN_VERSION", VERSION + 1)
    newer = replace(built("RAY", "USDC", 100), version=VERSION + 1)
    assert isinstance(chain.outcome(newer), Landed)
    assert built("RAY", "USDC", 100).version == VERSION


def test_sol_as_the_token_in_is_wrapped() -> None:
    transaction = built("SOL", "USDC", 1_000, venues=["whirlpool"])
    assert names(transaction) == [
        "ComputeBudget.SetComputeUnitLimit",
        "ComputeBudget.SetComputeUnitPrice",
        "AssociatedTokenAccount.CreateIdempotent",
        "SystemProgram.Transfer",
        "Token.SyncNative",
        "AssociatedTokenAccount.CreateIdempotent",
        "orca-whirlpool.SwapV2",
        "Token.CloseAccount",
    ]
    assert transaction.instructions[3].value == 1_000 * 10**9


def test_every_leg_is_one_swap_instruction_in_the_order_of_the_route() -> None:
    transaction = built("SOL", "USDC", 10_000)
    swaps = [step for step in transaction.instructions if step.name.startswith("Swap")]
    assert [step.value for step in swaps] == list(range(len(transaction.legs)))
    assert [step.program for step in swaps] == [
        program_of(leg.pool).name for leg in transaction.legs
    ]
    assert {"orca-whirlpool.SwapV2", "meteora-dlmm.Swap2"} <= set(names(transaction))


def test_sol_as_the_token_out_or_as_a_hub_is_unwrapped() -> None:
    out = names(built("USDC", "SOL", 100))
    assert "Token.SyncNative" not in out
    assert out[-1] == "Token.CloseAccount"
    between = names(built("BONK", "mSOL", 10**6))
    assert between.count("AssociatedTokenAccount.CreateIdempotent") == 2
    assert between[-1] == "Token.CloseAccount"
    without = names(built("RAY", "USDC", 1))
    assert "Token.CloseAccount" not in without


def test_a_transaction_lands_five_to_seven_slots_later_and_each_time_at_the_same_slot() -> None:
    found = route("SOL", "USDC", 1)
    landed = [
        chain.landing_slot(chain.build(f"order-{i}", 1, found, SLOT)) - SLOT for i in range(300)
    ]
    assert set(landed) == {5, 6, 7}
    assert all(landed.count(slots) > 60 for slots in (5, 6, 7))
    again = chain.build("order-0", 1, found, SLOT)
    assert chain.landing_slot(again) - SLOT == landed[0]


def test_a_transaction_executes_against_the_pools_of_its_landing_slot_not_of_its_quote() -> None:
    transaction = built("RAY", "USDC", 100)
    landed = chain.outcome(transaction)
    assert isinstance(landed, Landed)
    (leg,) = transaction.legs
    pool = snapshot(leg.venue, chain.landing_slot(transaction)).pool(leg.pool)
    assert landed.out_amount == pool.fill(TOKENS["RAY"], leg.in_amount).amount_out
    assert landed.out_amount != leg.out_amount


def test_a_transaction_of_another_seed_has_another_output() -> None:
    transaction = replace(built("RAY", "USDC", 1_000), other_amount_threshold=0)
    here, there = (chain.outcome(replace(transaction, seed=seed)) for seed in ("", "another"))
    assert isinstance(here, Landed)
    assert isinstance(there, Landed)
    assert here.out_amount != there.out_amount


def test_without_a_slippage_tolerance_some_transactions_land_and_some_fail() -> None:
    outcomes = [
        chain.outcome(built("RAY", "USDC", 100, slippage_bps=0, slot=SLOT + 400 * i))
        for i in range(40)
    ]
    failed = [outcome for outcome in outcomes if isinstance(outcome, OrderError)]
    assert 5 < len(failed) < 35
    assert {outcome.code for outcome in failed} == {SLIPPED}
    assert all(" refused with " in outcome.message for outcome in failed)


@pytest.mark.parametrize(
    ("pair", "venue", "refusal"),
    [
        (("RAY", "USDC"), "raydium", "raydium-cpmm refused with 6005 (0x1775)"),
        (("RAY", "SOL"), "raydium", "raydium-amm-v4 refused with 30 (0x1e)"),
        (("MET", "USDC"), "meteora", "meteora-dlmm refused with 6003 (0x1773)"),
        (("SOL", "USDC"), "whirlpool", "orca-whirlpool refused with 6036 (0x1794)"),
    ],
)
def test_a_slippage_error_has_the_code_of_the_last_legs_program(
    pair: tuple[str, str], venue: str, refusal: str
) -> None:
    transaction = built(*pair, 100, venues=[venue], simulate=Simulate(fault="slippage"))
    reverted = chain.outcome(transaction)
    assert isinstance(reverted, OrderError)
    assert reverted.code == SLIPPED
    assert reverted.message.startswith(refusal)


def test_an_output_of_exactly_the_threshold_lands_and_one_unit_less_fails() -> None:
    transaction = replace(built("RAY", "USDC", 1_000), other_amount_threshold=0)
    landed = chain.outcome(transaction)
    assert isinstance(landed, Landed)
    equal = replace(transaction, other_amount_threshold=landed.out_amount)
    assert chain.outcome(equal) == landed
    beyond = replace(transaction, other_amount_threshold=landed.out_amount + 1)
    assert isinstance(chain.outcome(beyond), OrderError)


def test_the_slippage_fault_fails_a_transaction_even_at_a_threshold_of_zero() -> None:
    transaction = built("RAY", "USDC", 1, slippage_bps=10_000, simulate=Simulate(fault="slippage"))
    assert transaction.other_amount_threshold == 0
    assert isinstance(chain.outcome(transaction), OrderError)


def test_the_network_fee_is_that_of_a_signature_and_of_the_requested_compute_units() -> None:
    one = built("RAY", "USDC", 1, venues=["raydium"], slippage_bps=10_000)
    landed = chain.outcome(one)
    assert isinstance(landed, Landed)
    # ⌈150,000 units · 50,000 micro-lamports / 10^6⌉ and 5,000 lamports.
    assert (len(one.legs), landed.network_fee_lamports) == (1, 12_500)
    expected = [("SetComputeUnitLimit", 150_001), ("SetComputeUnitPrice", 3)]
    steps = tuple(chain.Instruction("ComputeBudget", *each) for each in expected)
    assert chain.network_fee(replace(one, instructions=steps)) == 5_001


def test_a_reverted_transaction_costs_its_network_fee_and_a_dropped_one_does_not() -> None:
    slipped = chain.outcome(built("RAY", "USDC", 1, simulate=Simulate(fault="slippage")))
    assert isinstance(slipped, OrderError)
    assert slipped.network_fee_lamports
    dropped = chain.outcome(built("RAY", "USDC", 1, simulate=Simulate(fault="dropped_transaction")))
    assert isinstance(dropped, OrderError)
    assert dropped.network_fee_lamports is None


def test_the_most_legs_fit_solanas_compute_limit_and_one_more_would_not() -> None:
    """The limit is 1.4 million compute units:

    https://docs.jup.ag/docs/additional-topics/composing-with-versioned-transaction
    """
    largest = built("SOL", "USDC", 10_000)
    assert len(largest.legs) == LEGS_MAX
    (limit,) = (step.value for step in largest.instructions if step.name == "SetComputeUnitLimit")
    assert limit is not None
    assert limit <= 1_400_000 < limit + market.UNITS_PER_LEG


def test_a_leg_beyond_its_pools_liquidity_reverts_with_the_error_of_its_program() -> None:
    transaction = built("SOL", "USDC", 10_000)
    planned = next(leg for leg in transaction.legs if leg.venue == "meteora")
    too_large = replace(planned, in_amount=10 * planned.in_amount)
    legs = tuple(too_large if leg == planned else leg for leg in transaction.legs)
    reverted = chain.outcome(replace(transaction, legs=legs))
    assert isinstance(reverted, OrderError)
    assert reverted.code == "INSUFFICIENT_LIQUIDITY"
    assert reverted.message.startswith("meteora-dlmm refused the swap: ")


@pytest.mark.parametrize(
    ("token_in", "token_out", "amount", "hubs", "legs_of_a_hub"),
    [
        ("SOL", "RAY", 100, 1, 1),
        ("mSOL", "BONK", 2_000, 1, 2),
        ("JUP", "BONK", 100_000, 2, 3),
        ("SOL", "USDC", 10_000, 2, 1),
    ],
)
def test_on_each_path_the_second_hop_spends_the_whole_output_of_the_first(
    token_in: str, token_out: str, amount: int, hubs: int, legs_of_a_hub: int
) -> None:
    transaction = built(token_in, token_out, amount, slippage_bps=500)
    landed = chain.outcome(transaction)
    assert isinstance(landed, Landed)
    slot = chain.landing_slot(transaction)
    legs_from = Counter(leg.token_in for leg in transaction.legs)
    of_hubs = [legs for token, legs in legs_from.items() if token.symbol != token_in]
    assert len(of_hubs) >= hubs
    assert max(of_hubs) >= legs_of_a_hub
    planned, given, spent = Counter[Token](), Counter[Token](), Counter[Token]()
    for leg in transaction.legs:
        planned[leg.token_in] += leg.in_amount
    fills = []
    for leg in transaction.legs:
        units = leg.in_amount
        if leg.token_in != transaction.token_in:
            units = given[leg.token_in] * leg.in_amount // planned[leg.token_in]
            legs_from[leg.token_in] -= 1
            if legs_from[leg.token_in] == 0:
                units = given[leg.token_in] - spent[leg.token_in]
        out = snapshot(leg.venue, slot).pool(leg.pool).fill(leg.token_in, units).amount_out
        spent[leg.token_in] += units
        given[leg.token_out] += out
        fills.append((units, out))
    assert landed.fills == tuple(fills)
    assert landed.out_amount == given[transaction.token_out]


def test_a_transaction_settles_in_the_market_version_in_which_it_was_signed() -> None:
    transaction = built("RAY", "USDC", 100, slippage_bps=10_000)
    assert transaction.version == VERSION
    first = replace(transaction, version=1)
    here, there = chain.outcome(transaction), chain.outcome(first)
    assert isinstance(here, Landed)
    assert isinstance(there, Landed)
    assert here.out_amount != there.out_amount


def test_a_dropped_transaction_has_an_outcome_only_after_its_last_valid_slot() -> None:
    transaction = built("SOL", "USDC", 1, simulate=Simulate(fault="dropped_transaction"))
    assert transaction.last_valid_slot == SLOT + 150
    assert chain.known_slot(transaction) == SLOT + 151
    dropped = chain.outcome(transaction)
    assert isinstance(dropped, OrderError)
    assert dropped.code == "FAILED_TO_LAND"
    assert f"slot {SLOT + 150} passed" in dropped.message


def test_a_landed_transaction_has_its_outcome_at_its_landing_slot() -> None:
    transaction = built("SOL", "USDC", 1)
    assert chain.known_slot(transaction) == chain.landing_slot(transaction)


def test_whether_a_transaction_is_dropped_is_decided_when_it_is_built() -> None:
    certain = built("SOL", "USDC", 1, drop_ppm=1_000_000)
    assert certain.fate == "drop"
    assert Transaction.from_json(certain.to_json()).fate == "drop"
    assert built("SOL", "USDC", 1).fate == "land"


pairs = st.permutations(list(TOKENS.values())).map(lambda tokens: (tokens[0], tokens[1]))
faults = st.none() | st.builds(Simulate, fault=st.sampled_from(["slippage", "dropped_transaction"]))


@settings(max_examples=60)
@for_all(pairs, st.integers(1, 100), st.integers(0, 100), st.integers(0, 10**6), faults)
def test_a_stored_transaction_executes_as_the_one_that_was_built(
    pair: tuple[Token, Token], amount: int, slippage_bps: int, later: int, fault: Simulate | None
) -> None:
    transaction = built(
        pair[0].symbol,
        pair[1].symbol,
        amount,
        slippage_bps=slippage_bps,
        slot=SLOT + later,
        simulate=fault,
    )
    stored = Transaction.from_json(transaction.to_json())
    assert stored == transaction
    assert stored.signature == transaction.signature
    assert chain.outcome(stored) == chain.outcome(transaction)
    assert " " not in transaction.to_json()
