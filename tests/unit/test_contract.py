"""The contract's formats are read back as they were written."""

from __future__ import annotations

import json
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.contract import (
    API_KEY,
    OPEN_SHARDS,
    TICKET,
    EngineSettings,
    MalformedMessage,
    is_woken,
    open_shard,
    order_id_of,
    order_message,
    settings_from,
    wake_key,
)


@given(st.builds(EngineSettings, latency_scale=st.decimals(0, 100, places=3).map(float)))
def test_settings_written_to_the_environment_are_read_back(settings: EngineSettings) -> None:
    assert settings_from(EngineSettings, settings.environment()) == settings


def test_a_setting_without_a_variable_keeps_its_default() -> None:
    assert settings_from(EngineSettings, {"HOLD_MS": "7", "PATH": "/"}) == EngineSettings(hold_ms=7)


@given(st.uuids().map(str))
def test_a_message_has_the_id_of_its_order(order_id: str) -> None:
    assert order_id_of(order_message(order_id)) == order_id


def test_only_the_message_of_a_woken_order_is_marked_as_woken() -> None:
    order_id = str(UUID(int=1))
    assert not is_woken(order_message(order_id))
    assert json.loads(order_message(order_id)) == {"orderId": order_id}
    assert is_woken(order_message(order_id, woken=True))
    assert order_id_of(order_message(order_id, woken=True)) == order_id


@given(st.fractions(0, 10**24), st.fractions(0, 10**24))
def test_wake_keys_have_one_width_and_sort_like_prices(one: Fraction, other: Fraction) -> None:
    low, high = sorted([one, other])
    assert wake_key(low) <= wake_key(high)
    assert len(wake_key(low)) == len(wake_key(high))


def test_prices_that_differ_in_the_eighteenth_place_have_different_wake_keys() -> None:
    assert wake_key(Fraction(1, 10**18)) > wake_key(Fraction(0))
    assert wake_key(Fraction("160.000000000000000001")) > wake_key(Fraction(160))


@pytest.mark.parametrize("body", ["", "no order", "[]", "5", '{"orderId":5}', "[" * 10_000])
def test_a_message_without_an_order_id_is_malformed(body: str) -> None:
    with pytest.raises(MalformedMessage):
        order_id_of(body)


def test_orders_spread_over_all_shards() -> None:
    assert {open_shard(str(UUID(int=number))) for number in range(8)} == set(OPEN_SHARDS)


def test_a_secret_matches_only_its_own_kind_and_its_items_id_does_not_contain_it() -> None:
    key, ticket = API_KEY.new(), TICKET.new()
    assert API_KEY.matches(key)
    assert TICKET.matches(ticket)
    assert not API_KEY.matches(ticket)
    assert not TICKET.matches(key)
    assert key not in API_KEY.item_id(key)
