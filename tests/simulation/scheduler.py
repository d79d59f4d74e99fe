"""One virtual clock, and tasks of which exactly one runs: a seed decides which.

A task runs the product's own code in a greenlet, which needs no change in boto3 or the handlers. It
lets others run at every `pause`; what runs next is drawn from the tasks that are due. So a run is a
pure function of its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from tests.errors import Killed

T = TypeVar("T")
STEPS_MAX = 60_000
_NEVER_MS = 10**12


class TooManySteps(AssertionError):
    """The run does not end within STEPS_MAX steps."""


class Task:
    """One call of the run, the time from which it may continue, and how it ended."""

    def __init__(self, name: str, call: Callable[[], Any], environment: object) -> None:
        self.name, self.call, self.environment = name, call, environment
        self.due_ms = 0
        self.waits_for: Callable[[], bool] | None = None  # it also continues when this is true
        self.frozen = False
        self.killed = False
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.greenlet: greenlet | None = None

    def run(self) -> None:
        """Make the call, and keep its result or error."""
        try:
            if not self.killed:
                self.result = self.call()
        except BaseException as error:  # noqa: BLE001 - the run judges any exception
            self.error = error
        self.done = True


class Scheduler:
    """Runs tasks one at a time, in an order drawn from `random`; time passes when none can run."""

    def __init__(self, random: Random, now_ms: int) -> None:
        self.random, self.now_ms = random, now_ms
        self.elapsed_ms = 0  # by the monotonic clock
        self.tasks: list[Task] = []
        self.log: list[str] = []
        self._main = getcurrent()
        self._current: Task | None = None

    # --- called by a task

    def pause(self, what: str, *, delay_ms: int = 0) -> None:
        """Let others run; continue after `delay_ms` at the earliest. Raises Killed."""
        task = self.current()
        task.due_ms = self.elapsed_ms + delay_ms
        self.log.append(f"{self.elapsed_ms} {task.name} {what}")
        self._main.switch()
        if task.killed:
            raise Killed

    def at_once(
        self, calls: Sequence[Callable[[], T]], seconds: float | None = None
    ) -> list[T | None]:
        """`runtime.at_once` with a task for each call."""
        parent = self.current()
        children = [
            self.start(f"{parent.name}.{number}", call, parent.environment)
            for number, call in enumerate(calls)
        ]
        parent.waits_for = lambda: all(child.done for child in children)
        self.pause(
            "waits for its calls",
            delay_ms=_NEVER_MS if seconds is None else max(0, round(seconds * 1000)),
        )
        parent.waits_for = None
        for child in children:
            if child.done and child.error:
                raise child.error
        return [child.result if child.done else None for child in children]

    def current(self) -> Task:
        """The task that runs."""
        if self._current is None:
            raise RuntimeError("no task runs")
        return self._current

    # --- called by the run

    def start(self, name: str, call: Callable[[], Any], environment: object = None) -> Task:
        """A new task; it first runs when it is drawn."""
        task = Task(name, call, environment)
        # A task that ends returns to its parent, which must not be the greenlet that starts it.
        task.greenlet = greenlet(task.run, parent=self._main)
        task.due_ms = self.elapsed_ms
        self.tasks.append(task)
        return task

    def kill(self, environment: object) -> None:
        """End every task of an environment."""
        for task in self.tasks:
            if task.environment is environment and not task.done:
                task.killed, task.frozen, task.due_ms = True, False, 0

    def freeze(self, environment: object, *, frozen: bool) -> None:
        """Stop every task of an environment between two invocations, or let them continue."""
        for task in self.tasks:
            if task.environment is environment:
                task.frozen = frozen

    def step(self, events: Sequence[Callable[[], None]] = ()) -> bool:
        """Run one task, or one of the run's own events; False if nothing can run now."""
        ready = [task for task in self.tasks if self._ready(task)]
        chosen = self.random.randrange(len(ready) + len(events)) if ready or events else None
        if chosen is None:
            return False
        if chosen < len(ready):
            self._run(ready[chosen])
        else:
            events[chosen - len(ready)]()
        if len(self.log) > STEPS_MAX:
            raise TooManySteps(f"not ended after {STEPS_MAX} steps: {self.log[-10:]}")
        self.tasks = [task for task in self.tasks if not task.done]
        return True

    def next_due_ms(self) -> int | None:
        """The monotonic time at which the next waiting task may continue; None if none waits."""
        return min(
            (task.due_ms for task in self.tasks if not task.done and not task.frozen), default=None
        )

    def pass_time(self, elapsed_ms: int) -> None:
        """Advance both clocks to this monotonic time."""
        self.now_ms += elapsed_ms - self.elapsed_ms
        self.elapsed_ms = elapsed_ms

    def _ready(self, task: Task) -> bool:
        if task.done or task.frozen:
            return False
        return task.due_ms <= self.elapsed_ms or (task.waits_for is not None and task.waits_for())

    def _run(self, task: Task) -> None:
        assert task.greenlet is not None
        self._current = task
        task.greenlet.switch()
        self._current = None
