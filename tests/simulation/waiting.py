"""Judges orders that wait for a price, and orders in slices."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor
from typing import Any

from functions.contract import unix_ms
from functions.dex import tokens
from functions.simulation import chain, market
from tests.errors import Violation

Json = dict[str, Any]


def judge_conditions(
    request: Json, updates: list[Json], transactions: list[str], coverage: Counter[str]
) -> None:
    """Nothing executes below a limit, above a stop or after an expiry; raises Violation.

    `transactions`: the texts of all signed transactions of the order, in sequence.
    """
    signed = iter(transactions)
    terms, trigger, minimum = request, None, None
    for update in updates:
        match update["status"]:
            case "resting":
                if request.get("timeInForce") == "IOC":
                    raise Violation("an order that may not wait rests")
                coverage["orders that rest again after a refusal"] += "error" in update
                terms, trigger, minimum = update, None, None
                coverage["times that an order rests"] += 1
            case "building":
                trigger = update.get("trigger", trigger)
                if "trigger" in update:
                    coverage[f"orders triggered by their {trigger}"] += 1
                    minimum = _judge_trigger(request, terms, update)
            case "submitted":
                _judge_transaction(next(signed), terms, minimum if trigger == "limit" else None)
            case "expired":
                at_ms = unix_ms(terms["expiresAt"]) if "expiresAt" in terms else 0
                if unix_ms(update["timestamp"]) < at_ms and request.get("timeInForce") != "IOC":
                    # An order that can no longer land in time may end a few slots earlier.
                    late_ms = chain.LANDING_SLOTS_MAX * market.SLOT_MS
                    if unix_ms(update["timestamp"]) < at_ms - late_ms - 1_000:
                        raise Violation(f"expired before {terms['expiresAt']}: {update}")


def _judge_trigger(request: Json, terms: Json, update: Json) -> int | None:
    """The minimum output of a triggered limit order, in base units; None for a stop order."""
    token_out = tokens.find(request["tokenOut"])
    out = tokens.to_units(update["route"]["outAmount"], token_out)
    if update["trigger"] == "limit":
        minimum = ceil(_out_at(request, terms["limitPrice"]))
        if out < minimum:
            raise Violation(f"triggered by its limit at {out}, below {minimum}")
        return minimum
    if out > (most := floor(_out_at(request, terms["stopPrice"]))):
        raise Violation(f"triggered by its stop at {out}, above {most}")
    return None


def _judge_transaction(text: str, terms: Json, minimum: int | None) -> None:
    transaction = chain.Transaction.from_json(text)
    if minimum is not None and transaction.other_amount_threshold < minimum:
        raise Violation(f"accepts {transaction.other_amount_threshold}, below {minimum}")
    if "expiresAt" in terms:
        ends_ms = (transaction.last_valid_slot + 1) * market.SLOT_MS
        if ends_ms > unix_ms(terms["expiresAt"]):
            raise Violation(f"may land after {terms['expiresAt']}")


def _out_at(request: Json, price: str) -> Fraction:
    source, target = tokens.find(request["tokenIn"]), tokens.find(request["tokenOut"])
    units = tokens.to_units(request["amount"], source)
    return Fraction(price) * units * Fraction(10**target.decimals, 10**source.decimals)


def judge_slices(
    request: Json, updates: list[Json], slices: list[tuple[Json, Json]], coverage: Counter[str]
) -> None:
    """No slice is lost or made twice, and the sums are exact; raises Violation.

    `slices`: the request and the last update of each slice that is stored.
    """
    source, target = tokens.find(request["tokenIn"]), tokens.find(request["tokenOut"])
    filled = out = 0
    for child, last in slices:
        if last["status"] == "confirmed":
            coverage["slices executed"] += 1
            filled += tokens.to_units(child["amount"], source)
            out += tokens.to_units(last["outAmount"], target)
    reported: Json = {}
    for update in updates:
        reported |= update
    if _units(reported.get("filledAmount"), source) != filled or (
        filled and _units(reported.get("outAmount"), target) != out
    ):
        raise Violation(f"the slices swapped {filled} for {out}, the updates say {reported}")
    begun = reported.get("slice", 0)
    if begun != len(slices) or begun > request["slices"]:
        raise Violation(f"{begun} slices began, {len(slices)} are stored")
    whole = tokens.to_units(request["amount"], source)
    if filled > whole or (updates[-1]["status"] == "confirmed") != (
        bool(filled) and begun == request["slices"] and updates[-1]["status"] != "cancelled"
    ):
        raise Violation(f"{updates[-1]['status']} with {filled} of {whole}")
    if all(last["status"] == "confirmed" for _, last in slices) and begun == request["slices"]:
        coverage["orders executed in slices as a whole"] += 1
        if filled != whole:
            raise Violation(f"the slices add up to {filled}, not {whole}")


def _units(text: str | None, token: tokens.Token) -> int:
    return tokens.to_units(text, token) if text not in (None, "0") else 0
