"""Runs the AWS emulator of a local stack as a process that listens on one port."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from infra.cli.command import Problem

REGION = "us-east-1"
START_SECONDS_MAX = 300
STOP_SECONDS_MAX = 30


def free_port(port: int) -> int:
    """The port if it can be used, or for 0 any free port; raises Problem."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if taken else f"cannot be used ({error})"
            raise Problem(f"Port {port} {why}; choose another with --port") from error
        number: int = probe.getsockname()[1]
        return number


_KEPT = re.compile(
    r"PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|XDG_.*|LD_LIBRARY_PATH|VIRTUAL_ENV|UV|UV_.*"
    r"|(?i:(https?|all|no)_proxy|npm_config_.*)|SSL_CERT_.*|NODE_EXTRA_CA_CERTS"
)


def environment() -> dict[str, str]:
    """The user's environment variables, without those that could lead to a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    no_proxy = kept.get("NO_PROXY") or kept.get("no_proxy")
    no_proxy = ",".join(filter(None, [no_proxy, "127.0.0.1", "localhost"]))
    return kept | {
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def kept_state(data: Path, port: int) -> Iterator[None]:
    """Prepare a folder of saved state for an emulator on this port; the block holds its lock.

    Raises:
        Problem: the folder cannot be used, or another stack uses it.
    """
    with ExitStack() as held:
        try:
            data.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((data / ".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _adopt(data, port)
        except BlockingIOError:
            raise Problem(f"Another local stack keeps its orders in {data}") from None
        except OSError as error:
            raise Problem(f"Orders cannot be kept in {data}: {error.strerror}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Problem(f"The orders kept in {data} cannot be read: {error!r}") from error
        yield


@contextmanager
def running(
    endpoint: str, settings: dict[str, str], log: Path, data: Path | None
) -> Iterator[Path]:
    """Run an emulator until the block ends; yields its temporary folder.

    Args:
        endpoint: the emulator's URL: http or https, 127.0.0.1 and a free port.
        settings: more environment variables of the emulator.
        log: the file for the emulator's output.
        data: the folder of saved state, prepared by `kept_state`; None saves no state.

    Raises:
        Problem: the emulator does not start.
    """
    port = int(endpoint.rsplit(":", 1)[-1])
    temporary = log.parent / f"tmp-{port}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.local_emulator"],
            cwd=temporary,
            env=environment() | _settings(port, temporary, data) | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_healthy(endpoint, process, log)
            yield temporary
        finally:
            if data:
                process.terminate()  # the emulator saves its state when it is terminated
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS_MAX)
            kill_group(process)
            shutil.rmtree(temporary, ignore_errors=True)


def _settings(port: int, temporary: Path, data: Path | None) -> dict[str, str]:
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "TMPDIR": str(temporary),
        "DOCKER_HOST": "unix:///nonexistent",
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    if data is None:
        return settings
    return settings | {
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data.resolve()),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data.resolve() / "s3"),
    }


def _adopt(data: Path, port: int) -> None:
    """Correct the parts of the saved state that the emulator could not use."""
    for state_file in data.glob("*.json"):
        text = state_file.read_text()
        # The emulator finds a queue by its URL, which contains the port of the earlier run.
        text = re.sub(r"(https?://localhost):\d+/", rf"\1:{port}/", text)
        if state_file.name == "lambda.json":
            # The emulator saves positions in streams, but not the streams. It would skip records.
            state = json.loads(text)
            state["payload"].pop("dynamodb_stream_positions", None)
            text = json.dumps(state)
        state_file.write_text(text)


def _wait_until_healthy(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    # The emulator creates its certificate when it starts. No proxy leads to this machine.
    with httpx.Client(verify=False, trust_env=False, timeout=5) as client:  # noqa: S501
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise Problem(f"The emulator did not start: {reason(log)}")
            with suppress(httpx.HTTPError):
                if client.get(f"{endpoint}/_ministack/health").is_success:
                    return
            time.sleep(0.1)
    raise Problem(f"The emulator did not answer in {START_SECONDS_MAX} s; see {log}")


def kill_group(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a process that was started in its own session, and every process that it started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter if all ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


_FAILURE = re.compile(r"error|fail|❌|unable|refused|already in use", re.IGNORECASE)
_VAGUE = re.compile(r"A complete log of this run|Subprocess exited|npm error network|jsii/kernel")


def reason(log: Path) -> str:
    """The log line that most likely says why a program failed, at most 300 characters."""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    named = [line.partition("reason: ")[2] for line in lines if "reason: " in line]
    failures = [line for line in lines if _FAILURE.search(line) and not _VAGUE.search(line)]
    found = (named or failures or lines or ["it said nothing"])[-1]
    return found.removeprefix("npm error ").removeprefix("❌ ").strip()[:300]
