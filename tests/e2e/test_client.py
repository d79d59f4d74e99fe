"""The test client retries after answers that may be temporary."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from tests import stack_client
from tests.stack_client import Client, follow_all


@pytest.mark.parametrize(
    "status",
    [
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    ],
)
async def test_a_client_with_a_valid_key_retries_until_the_gateway_accepts_it(
    monkeypatch: pytest.MonkeyPatch, status: HTTPStatus
) -> None:
    monkeypatch.setattr(stack_client, "TRY_AGAIN_SECONDS", 0)
    refusals = [status, status]

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(refusals.pop(), "") if refusals else None

    async def echo(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())

    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        user = Client("http://127.0.0.1", f"ws://127.0.0.1:{port}", "oee_key")
        with pytest.raises(InvalidStatus):
            async with user.opened():
                pass
        async with user.socket() as socket:
            await socket.send("here")
            assert await socket.recv() == "here"
        assert refusals == []
        await user.close()


@pytest.mark.parametrize(
    "frame",
    [
        '{"message":"Internal server error","connectionId":"L0SM9cOFvHcCIhw=","requestId":"L0SM9"}',
        "Task timed out after 10.00 seconds",
    ],
    ids=["aws", "emulator"],
)
async def test_a_client_subscribes_again_after_an_error_frame_of_the_gateway(frame: str) -> None:
    answers = [frame, '{"type":"subscribed","orderId":"*"}']

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            assert message == '{"orderId":"*"}'
            await connection.send(answers.pop(0))

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        user = Client("http://127.0.0.1", f"ws://127.0.0.1:{port}", "oee_key")
        async with user.socket() as socket:
            await follow_all(socket)
        assert answers == []
        await user.close()
