"""`aioredis-patterns doctor`: prints what was found."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from .examine import examine
from .finding import Finding, Level, exit_code

__all__ = ("run",)

_SIGNS: Final[dict[Level, str]] = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
_VERDICTS: Final = ("It can be relied upon.", "It serves; mind the warnings.", "It cannot serve.")


def run(chosen: argparse.Namespace) -> int:
    """Examine, print, and give the exit code: 0 all is well, 1 there are warnings, 2 the server cannot serve."""
    findings = asyncio.run(examine(chosen.url, timeout=chosen.timeout, prefix=chosen.prefix))
    if chosen.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    elif sys.stdout.isatty():
        _show(findings)
    else:
        for finding in findings:
            print(f"{finding.level:<8} {finding.topic:<16} {finding.message}")
            print(f"{'':<25} -> {finding.remedy}\n" if finding.remedy else "", end="")
        print(f"\n{_VERDICTS[exit_code(findings)]}")
    return exit_code(findings)


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415  # --json does without it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        remedy = f"\n[dim]-> {escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(_SIGNS[finding.level], f"[bold]{finding.topic}[/]", escape(finding.message) + remedy)
    console = Console()
    console.print(table)
    console.print(f"\n{_VERDICTS[exit_code(findings)]}")
