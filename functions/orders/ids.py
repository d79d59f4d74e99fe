"""The ids of orders."""

from __future__ import annotations

import secrets  # noqa: TID251 - ids of different orders must differ
from uuid import UUID, uuid5

_BY_KEY = UUID("8f1c0d5e-3c39-4b5e-9d0a-6a1f5be6a3c4")  # the namespace of ids made from keys

_BY_PARENT = UUID("c6f7a8b4-52f8-4d1e-9a47-0b7c1c0de5a9")  # the namespace of slices' ids


def id_of_key(owner: str, key: str) -> str:
    """The id of the order that an owner submits under an idempotency key."""
    return str(uuid5(_BY_KEY, f"{owner}\0{key}"))


def slice_id(identity: str, number: int) -> str:
    """The id of a slice, numbered from 1, of the twap order with this `Order.identity`."""
    return str(uuid5(_BY_PARENT, f"{identity}\0{number}"))


def new_id(now_ms: int) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    random = secrets.randbits(74)
    bits = now_ms << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=bits))
