"""Deliveries to webhooks: signed POST requests to public addresses, by the Standard Webhooks rules.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets  # noqa: TID251 - a secret must be unpredictable
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import urllib3

from functions.runtime import USER_AGENT

SECRET_PREFIX = "whsec_"  # noqa: S105 - the beginning of a secret's text
URL_CHARACTERS_MAX = 2000
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0

# The public IPv6 addresses, and among them the 6to4 addresses (RFC 3056), which contain an IPv4
# address that may be private.
_GLOBAL_V6, _SIX_TO_FOUR = IPv6Network("2000::/3"), IPv6Network("2002::/16")

# urllib3's warnings contain the URL, which can contain a secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)

Resolve = Callable[[str, int], Sequence[str]]


class Undeliverable(Exception):
    """The delivery failed; the text says why, and contains neither the URL nor the secret."""


class InvalidUrl(ValueError):
    """The URL is not allowed for a webhook; the text is the broken rule."""


def new_secret() -> str:
    """A new secret of 256 random bits, as text."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def headers(secret: str, message_id: str, now_ms: int, body: bytes) -> dict[str, str]:
    """The headers of a message, its signature among them."""
    timestamp = str(now_ms // 1000)
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def check_url(url: str, *, loopback: bool) -> SplitResult:
    """The parts of a webhook's URL; with `loopback`, http and loopback addresses are allowed.

    A host name is resolved only for a delivery, because its addresses can change.

    Raises InvalidUrl.
    """
    if len(url) > URL_CHARACTERS_MAX:
        raise InvalidUrl(f"must have at most {URL_CHARACTERS_MAX} characters")
    if any(not "!" <= character <= "~" for character in url):
        raise InvalidUrl("must consist of visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidUrl("must be a URL") from None
    if parts.scheme not in ({"https", "http"} if loopback else {"https"}):
        raise InvalidUrl("must begin with https://")
    if not parts.hostname or port == 0:
        raise InvalidUrl("must name a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidUrl("must have neither user, password nor fragment")
    try:
        literal = str(ip_address(parts.hostname))
    except ValueError:
        return parts
    if not is_allowed(literal, loopback=loopback):
        raise InvalidUrl("must lead to a public address")
    return parts


def is_allowed(address: str, *, loopback: bool) -> bool:
    """Whether a request may go to this IP address.

    Private, link-local, multicast and reserved addresses are not allowed: a webhook must not reach
    hosts that only the function can reach.
    """
    ip = ip_address(address)
    if ip.is_loopback:
        return loopback
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast and not ip.is_reserved
    return ip.is_global and ip in _GLOBAL_V6 and ip not in _SIX_TO_FOUR


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def post(
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    loopback: bool,
    resolve: Resolve = resolve,
) -> int:
    """The status of the URL's answer to a POST; raises Undeliverable.

    The request goes to the address that was checked, because the name could resolve to another one
    a moment later. No redirect is followed, and only the head of the answer is read.
    """
    try:
        parts = check_url(url, loopback=loopback)
    except InvalidUrl as error:
        raise Undeliverable(f"the URL {error}") from None
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = resolve(host, port)
    except OSError:
        raise Undeliverable("the host has no address") from None
    if not addresses or not all(is_allowed(each, loopback=loopback) for each in addresses):
        raise Undeliverable("the host has an address that is not public")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    pool = _pool(parts.scheme, addresses[0], port, host)
    try:
        answer = pool.urlopen(
            "POST",
            target,
            body=body,
            headers={**headers, "Host": parts.netloc},
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            preload_content=False,
        )
    except urllib3.exceptions.TimeoutError:
        raise Undeliverable("no answer in time") from None
    except urllib3.exceptions.SSLError:
        raise Undeliverable("the certificate is not valid for the host") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Undeliverable("the connection failed") from None
    else:
        answer.close()
        return int(answer.status)
    finally:
        pool.close()


def _pool(scheme: str, address: str, port: int, host: str) -> urllib3.HTTPConnectionPool:
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port)
    verified: dict[str, Any] = {"server_hostname": host, "assert_hostname": host}
    return urllib3.HTTPSConnectionPool(address, port, cert_reqs="CERT_REQUIRED", **verified)
