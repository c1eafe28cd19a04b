"""How the tour is shown: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from .step import Report, Step

__all__ = ("Lines", "LiveTable", "Screen")

_MOST: Final = 4
"""Keys and commands that are named; the others are counted."""


class Screen(Protocol):
    """What the tour tells, while it goes on."""

    def __enter__(self) -> Self: ...

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

    def __enter__(self) -> Self:
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
    """A table that grows by a row when a step has ended; under it stands the step that runs.

    Args:
        title: What stands above it.
        steps: How many there will be.
    """

    def __init__(self, title: str, steps: int) -> None:
        self._title = title
        self._steps = steps
        self._ended = 0
        self._live = Live(console=Console(), refresh_per_second=12, transient=True)

    def __enter__(self) -> Self:
        self._live.console.print(Text(self._title, style="bold"), "", sep="\n")
        head = ("", "what is done, what came out, what it shows", "keys", "commands", "time")
        self._live.console.print(_row(*(Text(word, style="dim") for word in head)))
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, step: Step) -> None:
        said = Text.assemble((step.name, "bold"), f"  {step.does}")
        place = Text(f"{self._ended + 1} of {self._steps}", style="dim")
        self._live.update(_row(Spinner("dots", style="cyan"), said, "", "", place))

    def end(self, report: Report) -> None:
        self._ended += 1
        self._live.update("")
        self._live.console.print(_finished(report))


def _row(*cells: RenderableType) -> Table:
    """A table of one row; the columns of all of them stand under one another."""
    table = Table(box=None, padding=(0, 2, 1, 0), show_header=False, expand=True)
    table.add_column(width=1)
    table.add_column(ratio=5)
    table.add_column(ratio=2, overflow="fold")
    table.add_column(ratio=2)
    table.add_column(width=8, justify="right")
    table.add_row(*cells)
    return table


def _finished(report: Report) -> Table:
    step = report.step
    sign = Text("\N{BALLOT X}", style="bold red") if report.broken else Text("\N{CHECK MARK}", style="bold green")
    said = Text.assemble(
        (step.name, "bold"), f"  {step.does}\n", (report.outcome.figures, "cyan"), "\n", (step.shows, "dim")
    )
    for promise in report.broken:
        said.append(f"\nbroken: {promise}", "bold red")
    keys, commands = Text("\n".join(_keys(report))), Text("\n".join(_commands(report)))
    return _row(sign, said, keys, commands, f"{report.seconds:.2f} s")


def _keys(report: Report) -> list[str]:
    return _first(list(report.keys))


def _commands(report: Report) -> list[str]:
    return _first([f"{calls:,} {name.upper()}" for name, calls in report.commands.items()])


def _first(items: list[str]) -> list[str]:
    return items if len(items) <= _MOST else [*items[: _MOST - 1], f"{len(items) - _MOST + 1} more"]
