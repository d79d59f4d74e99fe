"""`uv run local`: run the whole stack on this machine, in an AWS emulator."""

import argparse
import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from functions.contract import API_KEY
from infra.cli import emulator
from infra.cli.command import LOCAL, Problem, exit_on_problem, whole_number
from infra.cli.deployed import LOCAL_FOLDER, STACK_FILE, Deployed
from infra.cli.emulator import REGION, kill_group, reason
from infra.cli.follow import follow
from infra.cli.keys import create
from infra.cli.node import NODE, cdk_path_command, with_node
from infra.cli.printing import Report
from infra.cli.warm import warm

ROOT = Path(__file__).parents[2]
ACCOUNT = "000000000000"
EMULATOR_LOG = "ministack.log"
OWNER = "local"
KEY_FILE = "api-key"
PORT = 4566
# Two cores can run this many workers. Orders may request faults, to show how they recover.
LOCAL_CONTEXT = {
    "maxConcurrency": "20",
    "simulateAllowed": "true",
    "webhookLoopbackAllowed": "true",
}

Steps = Callable[[str], AbstractContextManager[Report]]  # shows the step with this title


@dataclass(frozen=True, kw_only=True)
class Stack(Deployed):
    """A running local stack."""

    # Deploys the project in a folder, which may be another release, over the running stack.
    deploy: Callable[[Path], object]


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
    """Start and deploy a stack; the end of the block ends all processes that were started.

    Args:
        port: the emulator's port; 0 picks a free one.
        data: a folder in which the stack's state is kept for the next run; None keeps nothing.
        context: CDK context, which overrides LOCAL_CONTEXT.
        environment: more settings of the emulator (`AUTH`, `USE_SSL`, ...).
        work: a folder for logs and the CDK's output; by default a temporary folder.
        steps: receives the title of each step; its context manager yields a progress report.

    Raises:
        Problem: the stack could not be started.
    """
    with ExitStack() as cleanup:
        port = emulator.free_port(port)
        if work is None:
            work = Path(cleanup.enter_context(TemporaryDirectory(prefix="engine-")))
        work.mkdir(parents=True, exist_ok=True)
        if data:
            cleanup.enter_context(emulator.kept_state(data, port))
        tls = (environment or {}).get("USE_SSL") == "1"
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        given = {"localEndpoint": endpoint, **LOCAL_CONTEXT, **(context or {})}
        cdk = Cdk(work)

        # The app is synthesized while the emulator starts and the account is bootstrapped.
        with cdk.synthesis(given) as synthesized:
            with steps("Starting the emulator"):
                settings = dict(environment or {})
                running = emulator.running(endpoint, settings, work / EMULATOR_LOG, data)
                temporary = cleanup.enter_context(running)
            ca_bundle = temporary / "ministack-tls" / "server.crt" if tls else None
            with steps("Fetching the CDK command line"):
                cdk.fetch(endpoint, ca_bundle)
            with steps("Preparing the account"):
                cdk.bootstrap()
            with steps("Deploying the engine") as report:
                synthesized()
                name, outputs = cdk.deploy(report)

        def deploy(project: Path) -> object:
            with cdk.synthesis(given, project) as synthesized:
                synthesized()
                return cdk.deploy()

        stack = Stack(
            name=name,
            endpoint_url=endpoint,
            region=REGION,
            ca_bundle=ca_bundle,
            outputs=outputs,
            api_key=own_key(data),
            deploy=deploy,
        )
        create(stack, OWNER, key=stack.api_key)
        with steps("Warming the functions") as report:
            warm(stack, report)
        yield stack


def own_key(data: Path | None) -> str:
    """A new API key, or the key kept in `data`; raises Problem if the kept key is not valid."""
    if data is None:
        return API_KEY.new()
    kept = data / KEY_FILE
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(API_KEY.new())
    key = kept.read_text()
    if not API_KEY.matches(key):
        raise Problem(f"{kept} holds no API key: delete it, and a new one is created")
    return key


class Cdk:
    """Runs the CDK app and the CDK command line, and writes their output to files in a folder."""

    def __init__(self, work: Path) -> None:
        self._work, self.log, self._assembly = work, work / "cdk.log", work / "cdk.out"
        self.log.write_text("")
        self.environment = with_node(emulator.environment())
        self._command: list[str] = []

    @contextmanager
    def synthesis(
        self, context: Mapping[str, str], project: Path = ROOT
    ) -> Iterator[Callable[[], None]]:
        """Start the synthesis of a project's app; yields a function that waits for its end.

        The function raises Problem if the synthesis fails. `cdk deploy` would synthesize the app
        too, but only after the emulator has started and the account has been bootstrapped.
        """
        settings = json.loads((project / "cdk.json").read_text())["context"] | context
        log = self._work / "synthesis.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "infra.app"],
                cwd=project,
                env=self.environment
                | {"CDK_OUTDIR": str(self._assembly), "CDK_CONTEXT_JSON": json.dumps(settings)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def wait() -> None:
            if process.wait():
                raise Problem(f"The stack cannot be synthesized: {reason(log)} (all of it: {log})")

        try:
            yield wait
        finally:
            kill_group(process)

    def fetch(self, endpoint: str, ca_bundle: Path | None) -> None:
        """Fetch the CDK command line from npm or npm's cache, and configure it for an emulator."""
        failure = "The CDK command line cannot be fetched from npm"
        LOCAL_FOLDER.mkdir(exist_ok=True)
        with (LOCAL_FOLDER / "npm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # npm cannot install a package twice at the same time
            *_, path = self._run(cdk_path_command(), failure)
        self.environment["AWS_ENDPOINT_URL"] = endpoint
        if ca_bundle:  # not earlier: npm may need the user's certificates to reach its registry
            self.environment["NODE_EXTRA_CA_CERTS"] = str(ca_bundle)
        self._command = [str(NODE), path, "--no-notices", "--no-color"]

    def bootstrap(self) -> None:
        """Bootstrap the emulator's account for the CDK."""
        arguments = ["bootstrap", f"aws://{ACCOUNT}/{REGION}"]
        self._run([*self._command, *arguments], "Bootstrapping failed")

    def deploy(self, report: Report = lambda _done, _total: None) -> tuple[str, dict[str, str]]:
        """Deploy the synthesized stack; returns its name and outputs."""
        outputs = self._work / "outputs.json"
        options = ["--app", str(self._assembly), "--outputs-file", str(outputs)]
        options += ["--require-approval", "never", "--method", "direct", "--progress", "events"]
        self._run([*self._command, "deploy", *options], "The deployment failed", report)
        ((name, values),) = json.loads(outputs.read_text()).items()
        return name, values

    def _run(self, command: list[str], failure: str, report: Report | None = None) -> list[str]:
        """Run a command; returns the lines that it prints, and raises Problem if it fails."""
        lines = []
        with self.log.open("a") as log:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self._work,  # it has no cdk.json, which would start a synthesis
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                for line in process.stdout or ():
                    log.write(line)
                    lines.append(line.strip())
                    counted = re.search(r"\|\s*(\d+)/(\d+)\s*\|", line)
                    if report and counted:
                        report(int(counted[1]), int(counted[2]))
                process.wait()
            finally:
                kill_group(process)
        if process.returncode:
            raise Problem(f"{failure}: {reason(self.log)} (all of it: {self.log})")
        return lines


def main() -> None:
    """Run a stack until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="uv run local", description=__doc__)
    parser.add_argument(
        "--port",
        type=whole_number(0, 65_535),
        default=PORT,
        help=f"the port (default: {PORT}; 0 picks a free one)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep orders here for the next run"
    )
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the log may be piped
    console = Console(highlight=False, soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(emulator.environment())
    with exit_on_problem():
        try:
            _run(console, emulator.free_port(arguments.port), arguments.data)
        except KeyboardInterrupt:
            console.print("Stopped.")


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
    raise KeyboardInterrupt


def _run(console: Console, port: int, data: Path | None) -> None:
    work = LOCAL_FOLDER / str(port)
    with ExitStack() as open_stack:
        with _shown(console) as steps:
            running = running_stack(port, data, work=work, steps=steps)
            stack = open_stack.enter_context(running)
        open_stack.enter_context(announced(stack, work / STACK_FILE))
        for line in explanation(stack, port, data):
            console.print(line)
        log = work / EMULATOR_LOG
        try:
            follow(console, stack, log)
        except ConnectionError as error:
            raise Problem(f"The emulator no longer answers; see {log}") from error


@contextmanager
def announced(stack: Stack, file: Path) -> Iterator[None]:
    """Write the file in which programs find the stack; remove it at the end of the block."""
    content = {
        "httpUrl": stack.http_url,
        "webSocketUrl": stack.web_socket_url,
        "awsEndpointUrl": stack.endpoint_url,
        "region": stack.region,
        "stackName": stack.name,
        "apiKey": stack.api_key,
    }
    new = file.with_suffix(".tmp")
    new.touch(mode=0o600)  # it contains the key
    new.write_text(json.dumps(content, indent=2) + "\n")
    new.rename(file)  # a program must not read an incomplete file
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def explanation(stack: Stack, port: int, data: Path | None) -> list[str]:
    """The lines to print when the stack is ready: its URLs, its key, and commands to try."""
    order = '{"tokenIn":"SOL","tokenOut":"USDC","amount":"1.5"}'
    which = "" if port == PORT else f" --stack {LOCAL}:{port}"
    lasts = f"are kept in {escape(str(data))}" if data else "end with this run"
    return [
        "",
        f"[bold]Dashboard[/]  {stack.http_url}/#key={stack.api_key}",
        f"[bold]API docs[/]   {stack.http_url}/docs",
        f"[bold]WebSocket[/]  {stack.web_socket_url}",
        f"[bold]API key[/]    {stack.api_key}",
        "           Send it as the header `Authorization: Bearer …`, to the WebSocket as well.",
        f"           The key and all orders {lasts}.",
        "",
        "[bold]Place an order[/]",
        f"  curl -X POST {stack.http_url}/api/orders/execute "
        f"-H 'authorization: Bearer {stack.api_key}' "
        f"-H 'content-type: application/json' -d '{order}'",
        "[bold]Watch every order, over the WebSocket[/]",
        f"  uv run watch{which}",
        "[bold]Create a key for another owner[/]",
        f"  uv run keys create NAME{which}",
        "",
        f"Programs find the stack in {os.path.relpath(LOCAL_FOLDER / str(port) / STACK_FILE)}.",
        "The engine's log follows; Ctrl-C stops everything.",
        "",
    ]


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
