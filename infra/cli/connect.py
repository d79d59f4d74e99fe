"""Opens a client of the stack that the command line names."""

import argparse
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from functions.client import Client, KeyRefused, Timeouts
from functions.contract import API_KEY
from infra.cli.command import Problem
from infra.cli.deployed import find


@contextmanager
def connected(
    arguments: argparse.Namespace,
    *,
    tell: Callable[[str], None] = lambda _notice: None,
) -> Iterator[Client]:
    """Open a client of the stack in `arguments.stack`, with the key in `arguments.key`.

    `tell` receives the client's notices, for example of a reconnection.

    Raises:
        Problem: there is no key, or it is not valid.
        EngineError: the engine refused a request, or did not answer it.
    """
    stack = find(arguments.stack)
    key = arguments.key or stack.api_key
    if not key:
        raise Problem("An API key is needed: give --key, or set OEE_API_KEY.")
    if not API_KEY.matches(key):
        raise Problem(f"The API key is not valid: one looks like {API_KEY.form}.")
    client = Client(
        stack.http_url,
        key,
        web_socket_url=stack.web_socket_url,
        timeouts=Timeouts(),
        tls=ssl.create_default_context(cafile=stack.ca_bundle),
        trust_env=stack.endpoint_url is None,  # no proxy leads to a local stack
        tell=tell,
    )
    with client:
        try:
            yield client
        except KeyRefused:
            raise Problem("The API key is not valid for this stack.") from None
