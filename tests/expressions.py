"""Evaluates the DynamoDB expressions that the engine uses, on items in DynamoDB's JSON.

Grammar: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
DocumentPath = list[str]

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|[:#][\w-]+|<=|>=|<>|[-=<>(),.+])")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "<>": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


class Unsupported(Exception):
    """An expression that this module cannot evaluate yet."""


class _Reader:
    """A cursor over an expression's tokens, with the request's names and values."""

    def __init__(self, text: str, names: Json, values: Json) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            raise Unsupported(text)
        self._names, self._values = names, values

    def peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def next(self, expected: str = "") -> str:
        token: str = self._tokens.pop(0) if self._tokens else ""
        if expected and token.upper() != expected:
            raise Unsupported(f"{token!r} where {expected!r} was expected")
        return token

    def word(self) -> str:
        return self.peek().upper()

    def path(self) -> DocumentPath:
        parts = [self._name(self.next())]
        while self.peek() == ".":
            self.next()
            parts.append(self._name(self.next()))
        return parts

    def value(self, item: Json) -> Json | None:
        """An operand: a value of the request, size(path), or the item's value at a path."""
        if self.peek().startswith(":"):
            given: Json = self._values[self.next()]
            return given
        if self.word() == "SIZE":
            self.next()
            self.next("(")
            found = get(item, self.path())
            self.next(")")
            return None if found is None else {"N": str(len(next(iter(found.values()))))}
        return get(item, self.path())

    def _name(self, token: str) -> str:
        return str(self._names[token]) if token.startswith("#") else token


def holds(text: str, names: Json, values: Json, item: Json) -> bool:
    """Whether a condition, key condition or filter expression is true of the item."""
    reader = _Reader(text, names, values)
    result = _or(reader, item)
    if reader.peek():
        raise Unsupported(text)
    return result


def updated(text: str, names: Json, values: Json, item: Json) -> Json:
    """The item after an update expression; operands are read from the item before it."""
    reader, changed = _Reader(text, names, values), deepcopy(item)
    while reader.peek():
        match reader.next().upper():
            case "SET":
                _comma_separated(reader, lambda: _set(reader, item, changed))
            case "REMOVE":
                _comma_separated(reader, lambda: _remove(changed, reader.path()))
            case clause:
                raise Unsupported(clause)
    return changed


def get(item: Json, path: DocumentPath) -> Json | None:
    """The value at a path of the item; None if there is none."""
    value: Json | None = {"M": item}
    for part in path:
        value = (value or {}).get("M", {}).get(part)
    return value


def _or(reader: _Reader, item: Json) -> bool:
    result = _and(reader, item)
    while reader.word() == "OR":
        reader.next()
        result = _and(reader, item) or result
    return result


def _and(reader: _Reader, item: Json) -> bool:
    result = _term(reader, item)
    while reader.word() == "AND":
        reader.next()
        result = _term(reader, item) and result
    return result


def _term(reader: _Reader, item: Json) -> bool:
    if reader.word() == "NOT":
        reader.next()
        return not _term(reader, item)
    if reader.peek() == "(":
        reader.next()
        result = _or(reader, item)
        reader.next(")")
        return result
    if reader.word() in ("ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS"):
        exists = reader.next().upper() == "ATTRIBUTE_EXISTS"
        reader.next("(")
        found = get(item, reader.path())
        reader.next(")")
        return (found is not None) == exists
    if reader.word() == "BEGINS_WITH":
        reader.next()
        reader.next("(")
        found = get(item, reader.path())
        reader.next(",")
        prefix = reader.value(item)
        reader.next(")")
        return bool(found and prefix and plain(found).startswith(plain(prefix)))
    one = reader.value(item)
    compare = _COMPARISONS[reader.next()]
    other = reader.value(item)
    if one is None or other is None or one.keys() != other.keys():
        return False
    return compare(plain(one), plain(other))


def plain(value: Json) -> Any:
    """A scalar of DynamoDB's JSON as a Python value that compares as in DynamoDB."""
    ((kind, content),) = value.items()
    return Decimal(content) if kind == "N" else content


def _comma_separated(reader: _Reader, take: Callable[[], None]) -> None:
    take()
    while reader.peek() == ",":
        reader.next()
        take()


def _set(reader: _Reader, before: Json, changed: Json) -> None:
    path = reader.path()
    reader.next("=")
    value = _new_value(reader, before)
    if reader.peek() == "+":
        reader.next()
        added = _new_value(reader, before)
        value = {"N": str(plain(value) + plain(added))}
    holder = get(changed, path[:-1])
    if holder is None:
        raise Unsupported(f"the document path {path} is invalid for update")
    holder["M"][path[-1]] = deepcopy(value)


def _new_value(reader: _Reader, before: Json) -> Json:
    match reader.word():
        case "LIST_APPEND":
            reader.next()
            reader.next("(")
            head = reader.value(before)
            reader.next(",")
            tail = reader.value(before)
            reader.next(")")
            if head is None or tail is None:
                raise Unsupported("list_append of nothing")
            return {"L": [*head["L"], *tail["L"]]}
        case "IF_NOT_EXISTS":
            reader.next()
            reader.next("(")
            found = get(before, reader.path())
            reader.next(",")
            default = reader.value(before)
            reader.next(")")
            value = default if found is None else found
        case _:
            value = reader.value(before)
    if value is None:
        raise Unsupported("an operand that the item does not have")
    return value


def _remove(changed: Json, path: DocumentPath) -> None:
    holder = get(changed, path[:-1])
    if holder is not None:
        holder["M"].pop(path[-1], None)
