"""`uv run local`: the same stack on this machine, deployed by the same CDK app."""

import argparse
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from functions.contract import API_KEY
from infra.cli.deployed import STACK_FILE, Deployed
from infra.cli.follow import follow
from infra.cli.keys import create
from infra.cli.node import cdk_command, with_node

ROOT = Path(__file__).parents[2]
WORK = STACK_FILE.parent
ACCOUNT = "000000000000"
REGION = "us-east-1"
EMULATOR_LOG = "ministack.log"
OWNER = "local"
KEY_FILE = "api-key"
START_SECONDS_MAX = 60
# As many workers as two cores can drive; faults may be asked for, to see what they do.
LOCAL_CONTEXT = {"maxConcurrency": "20", "simulateAllowed": "true"}
STOP_SECONDS_MAX = 30

Report = Callable[[int, int], None]  # so many done of so many
Steps = Callable[[str], AbstractContextManager[Report]]


@dataclass(frozen=True)
class Stack:
    """Where a running stack answers; `ca_bundle` is its certificate when it speaks TLS."""

    name: str
    http_url: str
    web_socket_url: str
    aws_endpoint_url: str
    region: str
    ca_bundle: Path | None
    outputs: dict[str, str]
    api_key: str
    # Deploys a project's folder, this one or another release of it, over what is deployed.
    deploy: Callable[[Path], object]

    @property
    def deployed(self) -> Deployed:
        """The same for the commands that work on any stack."""
        return Deployed(
            name=self.name,
            outputs=self.outputs,
            region=self.region,
            endpoint_url=self.aws_endpoint_url,
            ca_bundle=self.ca_bundle,
            api_key=self.api_key,
        )


class LocalError(Exception):
    """Why the stack cannot run, in one line for the user."""


@contextmanager
def _quietly(_title: str) -> Iterator[Report]:
    yield lambda _done, _total: None


@contextmanager
def running_stack(
    port: int = 0,
    data: Path | None = None,
    *,
    context: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    work: Path | None = None,
    steps: Steps = _quietly,
) -> Iterator[Stack]:
    """The deployed stack; everything it started is gone when the block ends.

    Args:
        port: where the emulator listens; 0 picks a free one.
        data: keeps the stack's state here from one run to the next.
        context: CDK context, over that of a local deployment.
        environment: more settings of the emulator (`AUTH`, `USE_SSL`, ...).
        work: for logs and CDK's output; a temporary folder if not given.
        steps: is told what is going on.

    Raises:
        LocalError: it could not be started.
    """
    with ExitStack() as cleanup:
        if work is None:
            work = Path(cleanup.enter_context(TemporaryDirectory(prefix="engine-")))
        work.mkdir(parents=True, exist_ok=True)
        port = _free_port(port)
        tls = (environment or {}).get("USE_SSL") == "1"
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        temporary = work / f"tmp-{port}"
        ca_bundle = temporary / "ministack-tls" / "server.crt" if tls else None

        with steps("Starting the emulator"):
            settings = _emulator_settings(port, data, temporary) | dict(environment or {})
            cleanup.enter_context(_emulator(endpoint, settings, work / EMULATOR_LOG))

        cdk = _Cdk(work, endpoint, ca_bundle)
        with steps("Fetching the CDK command line"):
            cdk.run(["--version"], "The CDK command line cannot be fetched from npm")
        with steps("Preparing the account"):
            cdk.run(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], "Bootstrapping failed")
        with steps("Deploying the engine") as report:
            given = {"localEndpoint": endpoint, **LOCAL_CONTEXT, **(context or {})}
            name, outputs = cdk.deploy(given, report)

        stack = Stack(
            name=name,
            http_url=outputs["HttpUrl"],
            web_socket_url=outputs["WebSocketUrl"],
            aws_endpoint_url=endpoint,
            region=REGION,
            ca_bundle=ca_bundle,
            outputs=outputs,
            api_key=_own_key(data),
            deploy=lambda project: cdk.deploy(given, project=project),
        )
        create(stack.deployed, OWNER, key=stack.api_key)
        yield stack


def _own_key(data: Path | None) -> str:
    """A new key, or that of the data, which outlives the run as they do."""
    if data is None:
        return API_KEY.new()
    kept = data / KEY_FILE
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(API_KEY.new())
    return kept.read_text()


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if taken else f"cannot be used ({error})"
            raise LocalError(f"Port {port} {why}; choose another with --port") from error
        number: int = probe.getsockname()[1]
        return number


_KEPT = re.compile(
    r"PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|XDG_.*|LD_LIBRARY_PATH|VIRTUAL_ENV|UV|UV_.*"
    r"|(?i:(https?|all|no)_proxy|npm_config_.*)|SSL_CERT_.*|NODE_EXTRA_CA_CERTS"
)


def _environment() -> dict[str, str]:
    """The user's environment less all that could lead to a real account."""
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


def _emulator_settings(port: int, data: Path | None, temporary: Path) -> dict[str, str]:
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
    data.mkdir(parents=True, exist_ok=True)
    _adopt(data, port)
    return settings | {
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data.resolve()),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data.resolve() / "s3"),
    }


def _adopt(data: Path, port: int) -> None:
    """Mend what the emulator would not find again in state that it wrote itself."""
    for state_file in data.glob("*.json"):
        text = state_file.read_text()
        # It finds a queue by its URL, and that has the port of the earlier run.
        text = re.sub(r"(https?://localhost):\d+/", rf"\1:{port}/", text)
        if state_file.name == "lambda.json":
            # It keeps how far a stream was read but not the stream, so it would skip as far.
            state = json.loads(text)
            state["payload"].pop("dynamodb_stream_positions", None)
            text = json.dumps(state)
        state_file.write_text(text)


@contextmanager
def _emulator(endpoint: str, settings: dict[str, str], log: Path) -> Iterator[None]:
    temporary = Path(settings["TMPDIR"])
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=temporary,
            env=_environment() | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(endpoint, process, log)
        yield
    finally:
        if "PERSIST_STATE" in settings:
            process.terminate()  # it writes its state as it ends
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS_MAX)
        _kill_group(process)
        shutil.rmtree(temporary, ignore_errors=True)


def _wait_until_healthy(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),  # noqa: S323
    )
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalError(f"The emulator did not start: {_reason(log)}")
        with suppress(OSError), direct.open(f"{endpoint}/_ministack/health", timeout=5):
            return
        time.sleep(0.1)
    raise LocalError(f"The emulator did not answer in {START_SECONDS_MAX} s; see {log}")


class _Cdk:
    def __init__(self, work: Path, endpoint: str, ca_bundle: Path | None) -> None:
        self._work = work
        self._log = work / "cdk.log"
        self._log.write_text("")
        self._environment = with_node(_environment()) | {"AWS_ENDPOINT_URL": endpoint}
        if ca_bundle:
            self._environment["NODE_EXTRA_CA_CERTS"] = str(ca_bundle)

    def run(
        self,
        arguments: list[str],
        failure: str,
        *,
        folder: Path | None = None,
        report: Report | None = None,
    ) -> None:
        with self._log.open("a") as log:
            process = subprocess.Popen(  # noqa: S603
                cdk_command("--no-notices", "--no-color", *arguments),
                cwd=folder or self._work,  # where no cdk.json asks for a synthesis
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                for line in process.stdout or ():
                    log.write(line)
                    counted = re.search(r"\|\s*(\d+)/(\d+)\s*\|", line)
                    if report and counted:
                        report(int(counted[1]), int(counted[2]))
                process.wait()
            finally:
                _kill_group(process)
        if process.returncode:
            raise LocalError(f"{failure}: {_reason(self._log)} (all of it: {self._log})")

    def deploy(
        self, context: Mapping[str, str], report: Report | None = None, project: Path = ROOT
    ) -> tuple[str, dict[str, str]]:
        """The stack's name and its outputs."""
        outputs = self._work / "outputs.json"
        app = shlex.join([sys.executable, "-m", "infra.app"])
        options = ["--app", app, "--output", str(self._work / "cdk.out")]
        options += ["--outputs-file", str(outputs), "--require-approval", "never"]
        options += ["--progress", "events"]
        for name, value in context.items():
            options += ["--context", f"{name}={value}"]
        self.run(["deploy", *options], "The deployment failed", folder=project, report=report)
        ((name, values),) = json.loads(outputs.read_text()).items()
        return name, values


def _kill_group(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: the latter, when all are gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


_TELLING = re.compile(r"error|fail|❌|unable|refused|already in use", re.IGNORECASE)
_NOISE = re.compile(r"A complete log of this run|Subprocess exited|npm error network|jsii/kernel")


def _reason(log: Path) -> str:
    """The line of a log that most likely says why."""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    named = [line.partition("reason: ")[2] for line in lines if "reason: " in line]
    telling = [line for line in lines if _TELLING.search(line) and not _NOISE.search(line)]
    reason = (named or telling or lines or ["it said nothing"])[-1]
    return reason.removeprefix("npm error ").removeprefix("❌ ").strip()[:300]


def main() -> None:
    """Run the stack until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="uv run local", description=__doc__)
    parser.add_argument("--port", type=int, default=4566, help="where it listens (4566)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep orders here over restarts")
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # for one who pipes the log
    console = Console(highlight=False, soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(_environment())
    try:
        _run(console, arguments.port, arguments.data)
    except LocalError as error:
        console.print(f"[red]✗[/] {error}", markup=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("Stopped.")


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second one must not cut the clean-up short
    raise KeyboardInterrupt


def _run(console: Console, port: int, data: Path | None) -> None:
    with ExitStack() as open_stack:
        with _shown(console) as steps:
            running = running_stack(port, data, work=WORK, steps=steps)
            stack = open_stack.enter_context(running)
        STACK_FILE.unlink(missing_ok=True)
        STACK_FILE.touch(mode=0o600)  # it holds the key
        STACK_FILE.write_text(json.dumps(_as_json(stack), indent=2) + "\n")
        open_stack.callback(STACK_FILE.unlink, missing_ok=True)
        _explain(console, stack, port)
        log = WORK / EMULATOR_LOG
        try:
            follow(console, stack.deployed, log)
        except ConnectionError as error:
            raise LocalError(f"The emulator no longer answers; see {log}") from error


def _as_json(stack: Stack) -> dict[str, str]:
    return {
        "httpUrl": stack.http_url,
        "webSocketUrl": stack.web_socket_url,
        "awsEndpointUrl": stack.aws_endpoint_url,
        "region": stack.region,
        "stackName": stack.name,
        "apiKey": stack.api_key,
    }


def _explain(console: Console, stack: Stack, port: int) -> None:
    api_id = stack.http_url.rsplit("/", 1)[-1]
    order = '{"tokenIn":"SOL","tokenOut":"USDC","amount":"1.5"}'
    for line in (
        "",
        f"[bold]Dashboard[/]  http://{api_id}.execute-api.localhost:{port}/#key={stack.api_key}",
        f"           {stack.http_url}/#key={stack.api_key}",
        f"[bold]API docs[/]   {stack.http_url}/docs",
        f"[bold]WebSocket[/]  {stack.web_socket_url} (the key goes into the Authorization header)",
        "",
        "[bold]Place an order[/]",
        f"  curl -X POST {stack.http_url}/api/orders/execute "
        f"-H 'authorization: Bearer {stack.api_key}' "
        f"-H 'content-type: application/json' -d '{order}'",
        "[bold]Watch every order, over the WebSocket[/]",
        "  uv run watch",
        "",
        "The engine's log follows; Ctrl-C stops everything.",
        "",
    ):
        console.print(line)


@contextmanager
def _shown(console: Console) -> Iterator[Steps]:
    if not console.is_terminal:
        yield _printed(console)
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:

        @contextmanager
        def step(title: str) -> Iterator[Report]:
            task = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
            bars.update(task, completed=1, total=1)

        yield step


def _printed(console: Console) -> Steps:
    @contextmanager
    def step(title: str) -> Iterator[Report]:
        start = time.monotonic()
        yield lambda _done, _total: None
        console.print(f"✓ {title} ({time.monotonic() - start:.1f} s)")

    return step
