"""How the tour is shown: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from .step import Report, Step

__all__ = ("Lines", "LiveTable", "Screen")

_MOST: Final = 4
"""Keys and commands that are named; the others are counted."""


class Screen(Protocol):
    """What the tour tells, while it goes on."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def begin(self, step: Step) -> None:
        """A step begins."""

    def end(self, report: Report) -> None:
        """It has ended."""


class Lines:
    """Plain lines, three for each step when it has ended.

    Args:
        title: The first line.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> Lines:
        print(f"{self._title}\n", flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def begin(self, step: Step) -> None: ...

    def end(self, report: Report) -> None:
        step = report.step
        print(f"{'failed' if report.broken else 'ok':<6}  {step.name}: {step.does} ({report.seconds:.2f} s)")
        print(f"        {report.outcome.figures}")
        print(f"        shows: {step.shows}")
        print(f"        keys: {', '.join(_keys(report)) or 'none'}; commands: {', '.join(_commands(report))}")
        for promise in report.broken:
            print(f"        broken: {promise}")
        print(flush=True)


class LiveTable:
    """A table that fills while the steps run.

    Args:
        title: What stands above it.
        steps: All steps, also those to come.
    """

    def __init__(self, title: str, steps: Sequence[Step]) -> None:
        self._title = title
        self._steps = steps
        self._running: Step | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._reports: dict[Step, Report] = {}
        self._live = Live(self._render(), console=Console(), refresh_per_second=12)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = None
        self._live.update(self._render())
        self._live.stop()

    def begin(self, step: Step) -> None:
        self._running = step
        self._live.update(self._render())

    def end(self, report: Report) -> None:
        self._reports[report.step] = report
        self._running = None
        self._live.update(self._render())

    def _render(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 1, 0), header_style="dim", expand=True)
        table.add_column("")
        table.add_column("what happens, and what it shows", ratio=5)
        table.add_column("keys", ratio=2, overflow="fold")
        table.add_column("commands", ratio=2)
        table.add_column("time", justify="right", no_wrap=True)
        for step in self._steps:
            table.add_row(*self._row(step))
        return Group(Text(self._title, style="bold"), Text(), table)

    def _row(self, step: Step) -> Sequence[RenderableType]:
        report = self._reports.get(step)
        said = f"[bold]{escape(step.name)}[/]  {escape(step.does)}"
        if report is None:
            running = step is self._running
            return (self._spinner, said) if running else (Text("·", style="dim"), f"[dim]{said}[/]")
        sign = Text("✗", style="bold red") if report.broken else Text("✓", style="bold green")
        said += f"\n[cyan]{escape(report.outcome.figures)}[/]\n[dim]{escape(step.shows)}[/]"
        said += "".join(f"\n[red]broken: {escape(promise)}[/]" for promise in report.broken)
        time = Text(f"{report.seconds:.2f} s")
        return sign, said, Text("\n".join(_keys(report))), Text("\n".join(_commands(report))), time


def _keys(report: Report) -> list[str]:
    return _first(list(report.keys))


def _commands(report: Report) -> list[str]:
    return _first([f"{calls:,} {name.upper()}" for name, calls in report.commands.items()])


def _first(items: list[str]) -> list[str]:
    return items if len(items) <= _MOST else [*items[: _MOST - 1], f"{len(items) - _MOST + 1} more"]
