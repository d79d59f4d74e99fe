"""DLMM pools: checked figures, a slow bin-by-bin implementation to compare with, edge cases."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, example
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import meteora
from functions.dex.errors import ExceededSlippage, ZeroAmount, ZeroOutput
from functions.dex.meteora import Parameters, Pool
from functions.dex.tokens import UNITS_MAX
from tests.unit.figures import figures

PARAMETERS = Parameters(bin_step=4)


def even_bins(active: int, reach: int = 35) -> dict[int, tuple[int, int]]:
    """The bins of the program-executed figures."""
    bins = {active + i: (50_000_000_000, 0) for i in range(1, reach + 1)}
    bins |= {active - i: (0, 7_500_000_000) for i in range(1, reach + 1)}
    return bins | {active: (25_000_000_000, 3_750_000_000)}


def report(swap: meteora.Swap) -> dict[str, Any]:
    return {
        "amount_in": swap.amount_in,
        "amount_out": swap.amount_out,
        "fee": swap.fee,
        "protocol_fee": swap.protocol_fee,
        "active_id": swap.pool.active_id,
        "volatility_accumulator": swap.pool.volatility_accumulator,
        "volatility_reference": swap.pool.volatility_reference,
        "index_reference": swap.pool.index_reference,
        "last_update_moved": swap.last_update_moved,
    }


@figures("dlmm swap (program-executed)")
def test_a_swap_is_the_one_that_the_program_executed(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    parameters = Parameters(
        bin_step=given["bin_step"],
        base_factor=given["base_factor"],
        base_fee_power_factor=given["base_fee_power_factor"],
        filter_period=given["filter_period"],
        decay_period=given["decay_period"],
        reduction_factor=given["reduction_factor"],
        variable_fee_control=given["variable_fee_control"],
        max_volatility_accumulator=given["max_volatility_accumulator"],
        protocol_share=given["protocol_share_bps"],
    )
    pool = Pool(
        parameters,
        given["active_id"],
        even_bins(given["active_id"]),
        given["volatility_accumulator"],
        given["volatility_reference"],
        given["index_reference"],
        last_update=1_000,
    )
    swap = meteora.swap_exact_out if given["exact_out"] else meteora.swap_exact_in
    now = 1_000 + given["seconds_since_last_update"]
    swapped = swap(pool, given["amount"], given["swap_for_y"], now)
    assert report(swapped) == expected
    assert swapped.pool.last_update == (now if expected["last_update_moved"] else 1_000)


@figures("dlmm price Q64.64")
def test_a_bin_has_the_price_that_is_stored_on_chain(
    given: dict[str, int], expected: dict[str, str]
) -> None:
    price = meteora.price_of_bin(given["bin_id"], given["bin_step"])
    assert price == int(expected["price_q64"])


def test_a_bin_far_below_zero_has_the_checked_price() -> None:
    assert meteora.price_of_bin(-4744, 4) == 2_766_733_273_956_537_389


@pytest.mark.parametrize("bin_id", [0x80000, -0x80000, 0x7FFFF, -0x7FFFF])
def test_a_bin_whose_price_does_not_fit_q64_64_is_refused(bin_id: int) -> None:
    with pytest.raises(ValueError, match="no price"):
        meteora.price_of_bin(bin_id, 100)


@figures("dlmm volatility")
def test_volatility_grows_and_decays_as_meteoras_documentation_states(
    given: dict[str, Any], expected: dict[str, list[int]]
) -> None:
    """One step follows 0.3 s after the one before it, so the time unit here is 0.1 s."""
    parameters = Parameters(
        bin_step=10,
        filter_period=given["filter_period"] * 10,
        decay_period=given["decay_period"] * 10,
        reduction_factor=given["reduction_factor"],
    )
    pool = Pool(parameters, 100, dict.fromkeys(range(90, 120), (1_000_000, 1_000_000)))
    now = 0
    for step, accumulator in zip(given["steps"], expected["va"], strict=True):
        now += round(10 * (step["dt"] or 0))
        assert pool.active_id == step["start"]
        down = step["end"] < step["start"]
        passed = range(step["start"], step["end"] + (-1 if down else 1), -1 if down else 1)
        held = sum(pool.bins[i][1 if down else 0] for i in passed)
        pool = meteora.swap_exact_out(pool, held - 1, down, now).pool
        assert pool.active_id == step["end"]
        assert pool.volatility_accumulator == accumulator


@dataclass
class BinByBin:
    """A swap by Meteora's rules, one bin after the other: slow, and simple to verify."""

    pool: Pool
    x_to_y: bool
    now: int | None

    def __post_init__(self) -> None:
        index, reference = meteora.references(self.pool, self.now)
        self.index, self.reference = index, reference
        self.active = self.pool.active_id
        self.accumulator = self.pool.volatility_accumulator
        self.bins = dict(self.pool.bins)
        self.amount_in = self.amount_out = self.fee = self.protocol_fee = 0

    def held(self) -> int:
        return self.bins.get(self.active, (0, 0))[1 if self.x_to_y else 0]

    def run(self, amount: int, exact_out: bool) -> bool:
        """Whether the whole amount was filled."""
        if not any(h[1 if self.x_to_y else 0] for h in self.bins.values()):
            return False
        lowest, highest = min(self.bins), max(self.bins)
        while True:
            if self.held():
                amount -= self.step(amount, exact_out)
                if amount == 0:
                    return True
            ahead = (
                range(lowest, self.active) if self.x_to_y else range(self.active + 1, highest + 1)
            )
            if not any(self.bins.get(i, (0, 0))[1 if self.x_to_y else 0] for i in ahead):
                return False
            self.active += -1 if self.x_to_y else 1

    def step(self, left: int, exact_out: bool) -> int:
        parameters = self.pool.parameters
        self.accumulator = min(
            self.reference + abs(self.index - self.active) * 10_000,
            parameters.max_volatility_accumulator,
        )
        rate = meteora.fee_rate(parameters, self.accumulator)
        price = meteora.price_of_bin(self.active, parameters.bin_step)
        held = self.held()
        if exact_out:
            out = min(left, held)
            net = self.cost(out, price)
            fee, used = ceil_div(net * rate, 10**9 - rate), out
        else:
            fee = ceil_div(left * rate, 10**9)
            net, need = left - fee, self.cost(held, price)
            if net > need:
                net, out, fee = need, held, ceil_div(need * rate, 10**9 - rate)
            elif net == need:
                out = held
            else:
                out = net * price // 2**64 if self.x_to_y else net * 2**64 // price
            used = net + fee
        self.book(net, out, fee)
        return used

    def cost(self, out: int, price: int) -> int:
        return ceil_div(out * 2**64, price) if self.x_to_y else ceil_div(out * price, 2**64)

    def book(self, net: int, out: int, fee: int) -> None:
        x, y = self.bins[self.active]
        self.bins[self.active] = (x + net, y - out) if self.x_to_y else (x - out, y + net)
        self.amount_in += net + fee
        self.amount_out += out
        self.fee += fee
        self.protocol_fee += fee * self.pool.parameters.protocol_share // 10_000


def ceil_div(number: int, by: int) -> int:
    return -(-number // by)


holdings = st.tuples(st.integers(0, 10**4) | st.integers(0, 10**12), st.integers(0, 10**12))
parameters_of_any_pair = st.builds(
    Parameters,
    bin_step=st.sampled_from([1, 4, 10, 100, 400]),
    base_factor=st.sampled_from([0, 8_000, 10_000, 20_000, 60_000]),
    base_fee_power_factor=st.sampled_from([0, 0, 1]),
    variable_fee_control=st.sampled_from([0, 40_000, 2_000_000]),
    max_volatility_accumulator=st.sampled_from([0, 25_000, 350_000]),
    protocol_share=st.sampled_from([0, 1_000, 2_500]),
)


@st.composite
def any_pool(draw: st.DrawFn) -> Pool:
    active = draw(st.integers(-700, 700))
    around = draw(st.dictionaries(st.integers(-6, 6), holdings, max_size=13))
    # Below the active bin lies only Y, above it only X.
    bins = {active + i: (x if i >= 0 else 0, y if i <= 0 else 0) for i, (x, y) in around.items()}
    return Pool(
        draw(parameters_of_any_pair),
        active,
        bins,
        volatility_accumulator=draw(st.integers(0, 350_000)),
        volatility_reference=draw(st.integers(0, 175_000)),
        index_reference=active + draw(st.integers(-5, 5)),
        last_update=draw(st.none() | st.just(0)),
    )


times = st.none() | st.sampled_from([0, 5, 29, 30, 31, 599, 600, 601])
some_amounts = st.integers(1, 100) | st.integers(1, 10**13)


@for_all(any_pool(), some_amounts, st.booleans(), st.booleans(), times)
def test_a_swap_is_equal_to_one_computed_bin_by_bin(
    pool: Pool, amount: int, x_to_y: bool, exact_out: bool, now: int | None
) -> None:
    slow = BinByBin(pool, x_to_y, now)
    filled = slow.run(amount, exact_out)
    swap = meteora.swap_exact_out if exact_out else meteora.swap_exact_in
    try:
        swapped = swap(pool, amount, x_to_y, now)
    except ZeroOutput:
        assert filled
        assert slow.amount_out == 0
        return
    except meteora.PartialFill as error:
        assert not filled
        if error.swap is None:
            assert slow.amount_out == 0
            return
        swapped = error.swap
    else:
        assert filled
    assert report(swapped) == {
        "amount_in": slow.amount_in,
        "amount_out": slow.amount_out,
        "fee": slow.fee,
        "protocol_fee": slow.protocol_fee,
        "active_id": slow.active,
        "volatility_accumulator": slow.accumulator,
        "volatility_reference": slow.reference,
        "index_reference": slow.index,
        "last_update_moved": slow.active != pool.active_id,
    }
    assert swapped.pool.bins == slow.bins


@for_all(any_pool(), st.booleans(), times, st.integers(0, 12), st.integers(-2, 2))
def test_an_amount_that_just_drains_a_bin_swaps_as_computed_bin_by_bin(
    pool: Pool, x_to_y: bool, now: int | None, drained: int, beside: int
) -> None:
    """The last unit that drains a bin, and its neighbours, decide which branch is taken."""
    held = [pool.bins[i][1 if x_to_y else 0] for i in sorted(pool.bins, reverse=x_to_y)]
    wanted = sum([h for h in held if h][: drained + 1])
    assume(wanted)
    edge = meteora.swap_exact_out(pool, wanted, x_to_y, now).amount_in + beside
    assume(edge > 0)
    slow = BinByBin(pool, x_to_y, now)
    filled = slow.run(edge, exact_out=False)
    ladder = meteora.Ladder(pool, x_to_y, now)
    assert ladder.amount_out(edge) == (slow.amount_out if filled else 0)


@for_all(any_pool(), some_amounts, st.booleans(), times)
def test_exact_in_and_exact_out_agree(
    pool: Pool, amount: int, x_to_y: bool, now: int | None
) -> None:
    try:
        bought = meteora.swap_exact_out(pool, amount, x_to_y, now)
    except meteora.PartialFill:
        return
    sold = meteora.swap_exact_in(pool, bought.amount_in, x_to_y, now)
    assert bought.amount_out == amount
    assert sold.amount_out >= amount


@for_all(any_pool(), some_amounts, some_amounts, st.booleans())
def test_a_larger_input_never_gives_a_smaller_output(
    pool: Pool, amount: int, more: int, x_to_y: bool
) -> None:
    ladder = meteora.Ladder(pool, x_to_y)
    more_out = ladder.amount_out(amount + more)
    assume(more_out)
    assert more_out >= ladder.amount_out(amount)


@for_all(any_pool(), some_amounts, st.booleans())
def test_a_pool_never_gives_more_than_its_bins_hold(pool: Pool, amount: int, x_to_y: bool) -> None:
    ladder = meteora.Ladder(pool, x_to_y)
    held = sum(holding[1 if x_to_y else 0] for holding in pool.bins.values())
    assert ladder.amount_out(amount) <= held
    if held:
        paid = meteora.swap_exact_out(pool, held, x_to_y).amount_in
        assert ladder.amount_out(paid) == held
        # One unit may still fit as rounding; twice the input never does.
        assert ladder.amount_out(2 * paid + 2) == 0


@for_all(any_pool(), some_amounts, st.booleans(), times)
def test_a_ladders_fill_has_the_amounts_of_the_swap(
    pool: Pool, amount: int, x_to_y: bool, now: int | None
) -> None:
    ladder = meteora.Ladder(pool, x_to_y, now)
    try:
        swap = meteora.swap_exact_in(pool, amount, x_to_y, now)
    except (ZeroOutput, meteora.PartialFill) as refused:
        assert ladder.amount_out(amount) == 0
        with pytest.raises(type(refused)):
            ladder.fill(amount)
        return
    fill = ladder.fill(amount)
    assert (fill.amount_out, fill.fee) == (swap.amount_out, swap.fee)
    assert ladder.amount_out(amount) == swap.amount_out


# Its bins take 2**64 units of X, more than any amount, before they have given the usable share.
CHEAP_X = Pool(
    Parameters(400, base_factor=0, variable_fee_control=0),
    -591,
    {-591: (0, 1_582_035_399), -592: (0, 100_980_984)},
)


@for_all(any_pool(), st.booleans())
@example(CHEAP_X, True)
def test_a_ladders_pieces_are_its_bins_up_to_their_usable_share(pool: Pool, x_to_y: bool) -> None:
    ladder = meteora.Ladder(pool, x_to_y)
    held = sum(holding[1 if x_to_y else 0] for holding in pool.bins.values())
    pieces = ladder.pieces(1 << 192)
    assert sum(piece.amount_out for piece in pieces) == held * 94 // 100
    # Rounding distorts the price of a bin with few units.
    depths = [piece.start for piece in pieces if piece.amount_out > 10**6]
    assert depths == sorted(depths)


@for_all(any_pool(), st.booleans(), some_amounts | st.just(UNITS_MAX))
@example(CHEAP_X, True, UNITS_MAX)
def test_a_ladders_pieces_reach_an_amount_or_give_the_usable_share(
    pool: Pool, x_to_y: bool, limit: int
) -> None:
    pieces = meteora.Ladder(pool, x_to_y).pieces(limit)
    held = sum(holding[1 if x_to_y else 0] for holding in pool.bins.values())
    given = sum(piece.amount_out for piece in pieces)
    assert given == held * 94 // 100 or sum(piece.amount_in for piece in pieces) >= limit
    assert given <= held * 94 // 100


@for_all(any_pool(), some_amounts, st.booleans())
def test_a_round_trip_never_gains(pool: Pool, amount: int, x_to_y: bool) -> None:
    try:
        there = meteora.swap_exact_in(pool, amount, x_to_y)
        back = meteora.swap_exact_in(there.pool, there.amount_out, not x_to_y)
    except (ZeroOutput, meteora.PartialFill):
        return
    assert back.amount_out <= amount


def test_volatility_stops_at_its_maximum() -> None:
    parameters = Parameters(bin_step=10, max_volatility_accumulator=25_000)
    pool = Pool(parameters, 0, even_bins(0))
    swap = meteora.swap_exact_out(pool, 25_000_000_000 + 4 * 50_000_000_000, x_to_y=False)
    assert swap.pool.active_id == 4
    assert swap.pool.volatility_accumulator == 25_000


def test_no_fee_rate_exceeds_ten_percent() -> None:
    wild = Parameters(bin_step=400, base_factor=60_000, variable_fee_control=2_000_000)
    assert meteora.base_fee_rate(wild) > 100_000_000
    assert meteora.fee_rate(wild, 350_000) == 100_000_000
    swap = meteora.swap_exact_in(Pool(wild, 0, even_bins(0)), 1_000_000, x_to_y=True)
    assert (swap.fee, swap.amount_out) == (100_000, 900_000)


def test_the_variable_fee_rounds_up_and_can_be_switched_off() -> None:
    one = Parameters(bin_step=1, base_factor=10_000, variable_fee_control=1)
    assert meteora.fee_rate(one, 1) == 100_000 + 1
    assert meteora.fee_rate(replace(one, variable_fee_control=0), 350_000) == 100_000
    assert meteora.base_fee_rate(replace(one, base_fee_power_factor=2)) == 10_000_000


@pytest.mark.parametrize("x_to_y", [True, False])
def test_a_swap_that_ends_exactly_on_a_drained_bin_stays_there(x_to_y: bool) -> None:
    pool = Pool(PARAMETERS, 0, even_bins(0))
    drain = 3_750_000_000 if x_to_y else 25_000_000_000
    bought = meteora.swap_exact_out(pool, drain, x_to_y)
    assert (bought.pool.active_id, bought.last_update_moved) == (0, False)
    sold = meteora.swap_exact_in(pool, bought.amount_in, x_to_y)
    assert (sold.pool.active_id, sold.amount_out) == (0, drain)
    # A larger input ends in the next bin.
    beyond = meteora.swap_exact_in(pool, bought.amount_in + 10, x_to_y)
    assert beyond.pool.active_id == (-1 if x_to_y else 1)


def test_an_input_that_costs_exactly_the_bin_gives_the_whole_bin_and_no_more() -> None:
    """At a price of 4 Y per X, 3 Y cost 1 X, and 1 X would fetch 4."""
    bin_id = next(i for i in range(10**4) if meteora.price_of_bin(i, 100) >= 4 * meteora.ONE)
    parameters = Parameters(bin_step=100, base_factor=0, variable_fee_control=0)
    pool = Pool(parameters, bin_id, {bin_id: (0, 3)})
    swap = meteora.swap_exact_in(pool, 1, x_to_y=True)
    assert (swap.amount_in, swap.amount_out) == (1, 3)
    assert swap.pool.bins[bin_id] == (1, 0)


def test_empty_bins_are_skipped_and_do_not_change_the_volatility() -> None:
    pool = Pool(replace(PARAMETERS, max_volatility_accumulator=350_000), 0, {-3: (0, 1_000_000)})
    swap = meteora.swap_exact_in(pool, 1_000, x_to_y=True)
    assert swap.pool.active_id == -3
    assert swap.pool.volatility_accumulator == 30_000
    stayed = meteora.swap_exact_in(
        replace(pool, bins={0: (0, 1_000_000), -1: (0, 0), -2: (5, 0)}), 1_000, x_to_y=True
    )
    assert (stayed.pool.active_id, stayed.pool.volatility_accumulator) == (0, 0)


def test_exact_out_from_x_to_y_crosses_bins() -> None:
    pool = Pool(PARAMETERS, 0, even_bins(0))
    swap = meteora.swap_exact_out(pool, 3_750_000_000 + 7_500_000_000 + 1, x_to_y=True)
    assert swap.amount_out == 11_250_000_001
    assert swap.pool.active_id == -2
    assert swap.pool.bins[-1][1] == 0
    assert swap.pool.bins[-2][1] == 7_499_999_999
    # 3.75 cost the par price, 7.5 four bps more, and one unit eight bps more; fees come on top.
    assert 11_253_000_000 < swap.amount_in - swap.fee < 11_253_010_000
    assert swap.fee * 10_000 // swap.amount_in == 3 or swap.fee * 10_000 // swap.amount_in == 4


def test_a_swap_beyond_the_pools_liquidity_reports_the_partial_fill() -> None:
    pool = Pool(PARAMETERS, 0, even_bins(0, reach=2))
    held = 3_750_000_000 + 2 * 7_500_000_000
    with pytest.raises(meteora.PartialFill) as too_much:
        meteora.swap_exact_in(pool, 10**12, x_to_y=True)
    with pytest.raises(meteora.PartialFill) as too_many:
        meteora.swap_exact_out(pool, held + 1, x_to_y=True)
    assert too_much.value.swap == too_many.value.swap
    assert too_much.value.custom == 6012
    assert too_much.value.swap is not None
    assert too_much.value.swap.amount_out == held
    assert too_much.value.swap.pool.active_id == -2
    with pytest.raises(meteora.PartialFill) as nothing:
        meteora.swap_exact_in(Pool(PARAMETERS, 0, {}), 1, x_to_y=True)
    assert nothing.value.swap is None


def test_an_amount_too_small_for_any_output_is_refused() -> None:
    pool = Pool(PARAMETERS, -4744, even_bins(-4744))
    with pytest.raises(ZeroOutput) as dust:
        meteora.swap_exact_in(pool, 1, x_to_y=True)
    assert dust.value.custom == 6039
    for swap in (meteora.swap_exact_in, meteora.swap_exact_out):
        with pytest.raises(ZeroAmount) as zero:
            swap(pool, 0, x_to_y=True)
        assert zero.value.custom == 6002


def test_slippage_passes_on_equality_and_fails_by_one_unit() -> None:
    pool = Pool(PARAMETERS, 0, even_bins(0))
    out = meteora.swap_exact_in(pool, 10**9, x_to_y=True).amount_out
    assert meteora.swap_exact_in(pool, 10**9, x_to_y=True, minimum_out=out).amount_out == out
    with pytest.raises(ExceededSlippage) as short:
        meteora.swap_exact_in(pool, 10**9, x_to_y=True, minimum_out=out + 1)
    paid = meteora.swap_exact_out(pool, 10**9, x_to_y=True).amount_in
    assert meteora.swap_exact_out(pool, 10**9, x_to_y=True, maximum_in=paid).amount_in == paid
    with pytest.raises(ExceededSlippage) as dear:
        meteora.swap_exact_out(pool, 10**9, x_to_y=True, maximum_in=paid - 1)
    assert short.value.custom == dear.value.custom == 6003


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        (0, (7, 11_000)),
        (29, (7, 11_000)),
        (30, (5, 15_000)),
        (599, (5, 15_000)),
        (600, (5, 0)),
        (None, (5, 0)),
    ],
)
def test_references_are_kept_then_halved_then_reset(
    elapsed: int | None, expected: tuple[int, int]
) -> None:
    pool = Pool(PARAMETERS, 5, {}, 30_001, 11_000, index_reference=7, last_update=100)
    now = None if elapsed is None else 100 + elapsed
    assert meteora.references(pool, now) == expected
    assert meteora.references(replace(pool, last_update=None), 100) == (5, 0)
