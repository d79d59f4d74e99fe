"""AWS clients, created as cheaply as botocore can, because each cold start creates one."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session, get_session

from functions.runtime import CALLS_AT_ONCE, USER_AGENT

_making = Lock()  # a session creates one client at a time


def make_client(service: str, *, attempts: int) -> Any:
    """A client of one of the services in `_Data`; a call is tried `attempts` times at most."""
    config = Config(
        user_agent=USER_AGENT,
        max_pool_connections=CALLS_AT_ONCE,
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Lambda sets the variable. In the cloud, AWS validates every call, so botocore need not.
        parameter_validation="AWS_LAMBDA_FUNCTION_NAME" not in os.environ,
    )
    with _making:
        return session().create_client(service, config=config)


@cache
def session() -> Session:
    """The session that all clients of this environment share."""
    made = get_session()
    made.register_component("data_loader", _Data(file_loader=_Files()))
    return made


class _Files(JSONFileLoader):
    """Reads botocore's files into plain dicts, in half the time that ordered dicts take."""

    def load_file(self, file_path: str) -> Any:
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            path = Path(file_path + suffix)
            if path.is_file():
                with opened(path, "rb") as file:
                    return json.load(file)
        return None


class _Data(Loader):
    """Reads botocore's data without scanning the folders of all other services."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        return ["apigatewaymanagementapi", "dynamodb", "sqs"]
