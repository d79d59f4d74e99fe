"""The pages for browsers: the dashboard, the documentation, and their files.

A page refers to its files by names with a hash of their content, so a browser requests each file
once. It requests the page itself each time, and gets a 304 while the page is unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Set
from http import HTTPStatus
from importlib.resources import files
from typing import Any, get_args
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from pydantic.alias_generators import to_camel

from functions.contract import MAX_ATTEMPTS
from functions.dex.tokens import PRICE_PLACES_MAX, STABLECOINS, TOKENS
from functions.http.bundle import bundle
from functions.orders import order, sheet, terms
from functions.orders.failures import FAILURE_WORDS, QUOTE_ERROR_WORDS
from functions.orders.order import OrderType, Status
from functions.orders.terms import NEEDED, OPTIONAL
from functions.runtime import Settings
from functions.simulation.network import VALID_MS, VENUES

_OWN = files("functions.dashboard")
# Powertools contains Swagger UI, so neither a copy nor another host is needed. `files` imports the
# package that it is given; Swagger UI's own package would import all of OpenAPI's models.
_SWAGGER = files("aws_lambda_powertools.event_handler.openapi") / "swagger_ui"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_FACTS = "stack.js"
_CHART_LIBRARY = "lightweight-charts.js"
_ASSET = re.compile(r'"assets/([^"]+)"')
_HASHED = re.compile(r"(.+)\.([0-9a-f]{16})(\.\w+)")


class Pages:
    """The pages of a stack with these settings; each file is read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._texts: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        self._files: dict[str, Callable[[], str]] = {
            "index.html": lambda: self._html("index.html"),
            "app.js": self._app,
            "retry.js": lambda: _own("retry.js"),
            _CHART_LIBRARY: lambda: _own(_CHART_LIBRARY),
            "dashboard.css": lambda: _own("dashboard.css"),
            "docs.html": lambda: self._html("docs.html"),
            "docs.js": lambda: _own("docs.js"),
            "docs.css": lambda: _own("docs.css"),
            "swagger-ui-bundle.min.js": lambda: _swagger("swagger-ui-bundle.min.js"),
            "swagger-ui.min.css": lambda: _swagger("swagger-ui.min.css"),
        }

    def page(self, name: str, if_none_match: str | None = None) -> Response[Any]:
        """A file for the browser; 304 if the browser already has it.

        Raises:
            NotFoundError: there is no file of this name, or its hash is another one.
        """
        hashed = _HASHED.fullmatch(name)
        plain = hashed[1] + hashed[3] if hashed else name
        if plain not in self._files or (hashed and self._hash(plain) != hashed[2]):
            raise NotFoundError
        etag = f'W/"{self._hash(plain)}"'
        headers = {
            **_HEADERS,
            "Content-Security-Policy": self._policy(),
            "Cache-Control": "public, max-age=31536000, immutable" if hashed else "no-cache",
            "ETag": etag,
        }
        if if_none_match == etag:
            return Response(HTTPStatus.NOT_MODIFIED, headers=headers, body="")
        kind = _TYPES[plain.rpartition(".")[2]]
        return Response(HTTPStatus.OK, kind, self._text(plain), headers=headers)

    def _policy(self) -> str:
        """The security policy allows only our own files, and connections only to our own APIs."""
        web_socket = urlsplit(self._settings.web_socket_url)
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            f" connect-src 'self' {web_socket.scheme}://{web_socket.netloc}"
        )

    def _html(self, name: str) -> str:
        """A page with the hash in the name of each file, and with the icon inside."""
        icon = base64.b64encode(_own("icon.svg").encode()).decode()
        text = _own(name).replace("assets/icon.svg", f"data:image/svg+xml;base64,{icon}")
        return _ASSET.sub(lambda found: f'"assets/{self._with_hash(found[1])}"', text)

    def _with_hash(self, name: str) -> str:
        stem, _, ending = name.rpartition(".")
        return f"{stem}.{self._hash(name)}.{ending}"

    def _app(self) -> str:
        """The dashboard's modules as one script."""
        names = {each.name for each in _OWN.iterdir() if each.name.endswith(".js")}
        return bundle({name: self.module(name) for name in {*names, _FACTS}}, "app.js")

    def module(self, name: str) -> str:
        """The text of one of the dashboard's modules."""
        return self._facts() if name == _FACTS else _own(name)

    def _facts(self) -> str:
        """The module with the facts about the engine and this stack that the dashboard uses."""
        facts = {
            "TOKENS": [
                {
                    "symbol": token.symbol,
                    "name": token.name,
                    "mint": token.mint,
                    "decimals": token.decimals,
                }
                for token in TOKENS.values()
            ],
            "STABLECOINS": STABLECOINS,
            "VENUES": VENUES,
            "ORDER_TYPES": {
                kind: {"needed": _in_order(NEEDED[kind]), "optional": _in_order(OPTIONAL[kind])}
                for kind in OrderType
            },
            "STATUSES": {
                status: {
                    "terminal": status.terminal,
                    "cancellable": status.cancellable,
                    "changeable": status.changeable,
                }
                for status in Status
            },
            "STEPS": order.STEPS,
            # How an update changes an order.
            "PASSING": [to_camel(field) for field in order.PASSING],
            "CONDITIONS": [to_camel(field) for field in order.CONDITIONS],
            "STAMPS": {status: to_camel(field) for status, field in order.STAMPS.items()},
            "CSV_COLUMNS": {
                column: [to_camel(part) for part in path.split(".")]
                for column, path in sheet.COLUMNS.items()
            },
            "DEFAULT_SLIPPAGE_BPS": order.DEFAULT_SLIPPAGE_BPS,
            "PRICE_PLACES_MAX": PRICE_PLACES_MAX,
            "SLICES": [terms.SLICES_MIN, terms.SLICES_MAX],
            "INTERVAL_SECONDS_MAX": terms.INTERVAL_SECONDS_MAX,
            "EXPIRY_DAYS_MAX": terms.EXPIRY_DAYS_MAX,
            "ATTEMPTS_MAX": MAX_ATTEMPTS,
            "SIMULATE_ALLOWED": self._settings.simulate_allowed,
            # By fault: whether it can affect a single venue.
            "FAULTS": {fault: fault in order.FAULTS_OF_A_VENUE for fault in get_args(order.Fault)},
            # A transaction that has not landed after this time cannot land.
            "DROP_KNOWN_AFTER_MS": round(VALID_MS * self._settings.latency_scale),
            "FAILURES": FAILURE_WORDS,
            "QUOTE_ERRORS": QUOTE_ERROR_WORDS,
            # The page loads it after the orders, so that it does not delay them.
            "CHART_LIBRARY": f"assets/{self._with_hash(_CHART_LIBRARY)}",
        }
        return "".join(f"export const {k} = {json.dumps(v)};\n" for k, v in facts.items())

    def _text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = self._files[name]()
        return self._texts[name]

    def _hash(self, name: str) -> str:
        if name not in self._hashes:
            digest = hashlib.sha256(self._text(name).encode()).hexdigest()
            self._hashes[name] = digest[:16]
        return self._hashes[name]


def _in_order(fields: Set[str]) -> list[str]:
    return [field for field in terms.FIELDS if field in fields]


def _own(name: str) -> str:
    return (_OWN / name).read_text(encoding="utf-8")


def _swagger(name: str) -> str:
    return (_SWAGGER / name).read_text(encoding="utf-8")
