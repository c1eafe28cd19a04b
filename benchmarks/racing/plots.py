"""Draws the race from `results.json`, beside the plots of the guides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from .page import plot_of, sides
from .results import Place, Ratio, Results, ratios

mpl.use("svg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent.parent.parent / "docs" / "guide" / "plots"
STYLE = {"svg.hashsalt": "race", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
OURS, PEER, LOST, INK = "#1a7f37", "#b35900", "#cf222e", "#555555"
OTHERS = ("#b35900", "#8250df", "#0969da", "#bf3989", "#6e7781", "#9a6700")
MARKS = ("o", "D", "s", "^")
WIDTH = 7.2


def draw(results: Results) -> None:
    """Every plot that the page shows."""
    mpl.rcParams.update(STYLE)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = ratios(results)
    draw_ratios(found)
    for room in dict.fromkeys(place.room for place in found):
        draw_room(results, sides(found)[0], room)
    draw_client(found)
    if results["growth"]:
        draw_growth(results["growth"])


def save(name: str, figure: Any) -> None:
    figure.savefig(FOLDER / name, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def plain(axes: Iterable[Axes]) -> None:
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)


def draw_ratios(found: dict[Place, Ratio]) -> None:
    """One line for each row and number of tasks; a mark for each server and loop, a bar where the target is."""
    where = sides(found)
    lines = list(dict.fromkeys(place[2:] for place in found))[::-1]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.17 * len(lines) + 1.2), layout="constrained")
    for (server, loop), mark in zip(where, MARKS, strict=False):
        points = [(found.get(Place(server, loop, *line)), height) for height, line in enumerate(lines)]
        shown = [(ratio, height) for ratio, height in points if ratio and ratio.best]
        colours = [LOST if ratio.verdict == "lost" else PEER if ratio.verdict else OURS for ratio, _ in shown]
        xs, ys = [ratio.value for ratio, _ in shown], [height for _, height in shown]
        axes.scatter(xs, ys, c=colours, marker=mark, s=14, linewidths=0, zorder=3)
        axes.plot([], [], mark, color=INK, markersize=4, label=f"{server}, {loop}")
        targets = [(ratio.target, height) for ratio, height in shown if ratio.target]
        axes.scatter([x for x, _ in targets], [y for _, y in targets], marker="|", c=INK, s=40, linewidths=1, zorder=2)
    axes.plot([], [], "|", color=INK, label="wanted")
    axes.axvline(1, color=LOST, linewidth=0.8)
    axes.set(xscale="log", ylim=(-0.7, len(lines) - 0.3))
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.set_yticks(range(len(lines)), [f"{room}: {what}, {tasks}" for room, what, tasks in lines], fontsize=7)
    axes.grid(axis="x", color="#e0e0e0", linewidth=0.5)
    title = "ours over the fastest other library; green: as wanted, orange: less, red: lost"
    axes.set_title(title, fontsize=9, loc="left")
    axes.legend(frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.3, -0.02), fontsize=8)
    plain([axes])
    save("race.svg", figure)


def draw_room(results: Results, side: tuple[str, str], room: str) -> None:
    """Calls a second by tasks, one field for each row."""
    runs = [run for run in results["runs"] if (run["server"], run["loop"], run["room"]) == (*side, room)]
    rows = list(dict.fromkeys(run["what"] for run in runs))
    wide = min(3, len(rows))
    high = -(-len(rows) // wide)
    figure, grid = plt.subplots(
        high, wide, figsize=(WIDTH, 2.6 * high), layout="constrained", squeeze=False, sharey=True
    )
    colours: dict[str, str] = {}
    for axes, what in zip(grid.flat, rows, strict=False):
        for who, part in dict.fromkeys((run["who"], run["part"]) for run in runs if run["what"] == what):
            colour = OURS if part == "ours" else colours.setdefault(who, OTHERS[len(colours) % len(OTHERS)])
            points = [(run["tasks"], run["rate"]) for run in runs if (run["what"], run["who"]) == (what, who)]
            line = ":" if part == "beside" else "-"
            axes.plot(*zip(*points, strict=True), f"o{line}", color=colour, label=who, linewidth=1.2, markersize=3)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(ticks := sorted({run["tasks"] for run in runs}), map(str, ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_title(what, fontsize=9, loc="left")
        axes.legend(frameon=False, fontsize=7, loc="upper left")
    grid[0, 0].set_ylim(top=6 * grid[0, 0].get_ylim()[1])  # room for the legends
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    plain(grid.flat)
    figure.supxlabel(f"tasks; calls a second, {side[0]}, {side[1]}; dotted: beside the race", fontsize=8)
    save(plot_of(room), figure)


def draw_client(found: dict[Place, Ratio]) -> None:
    """What the client works for a call, and its p99, with 50 tasks: ours and the best of the others."""
    side = sides(found)[0]
    those = [(place, ratio) for place, ratio in found.items() if place[:2] == side and place.tasks == 50][::-1]
    figure, grid = plt.subplots(1, 2, figsize=(WIDTH, 0.2 * len(those) + 1), layout="constrained", sharey=True)
    titles = {"cpu_us": "CPU of a call, us", "p99_ms": "p99, ms"}
    for axes, (name, title) in zip(grid, titles.items(), strict=True):
        for height, (_, ratio) in enumerate(those):
            ours, other = ratio.ours.get(name), ratio.least(name)
            if ours is not None and other is not None:
                axes.plot([ours, other], [height] * 2, "-", color="#d0d0d0", linewidth=1, zorder=1)
                axes.plot(other, height, "o", color=PEER, markersize=4)
                axes.plot(ours, height, "o", color=OURS, markersize=4)
        axes.set(xscale="log")
        axes.set_title(title, fontsize=9, loc="left")
        axes.grid(axis="x", color="#e0e0e0", linewidth=0.5)
    grid[0].set_yticks(range(len(those)), [f"{place.room}: {place.what}" for place, _ in those], fontsize=7)
    figure.supxlabel("50 tasks; green: ours, orange: the other library that needs least", fontsize=8)
    plain(grid)
    save("race_client.svg", figure)


def draw_growth(growth: list[dict[str, Any]]) -> None:
    """Microseconds of the server for one call, by size."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4), layout="constrained")
    colours = dict(zip(dict.fromkeys(one["what"] for one in growth), (OURS, *OTHERS), strict=False))
    for what, server in dict.fromkeys((one["what"], one["server"]) for one in growth):
        points = [(one["size"], one["us"]) for one in growth if (one["what"], one["server"]) == (what, server)]
        line = "-" if server == "redis" else "--"
        label = f"{what}, {server}"
        axes.plot(*zip(*points, strict=True), f"o{line}", color=colours[what], label=label, linewidth=1.2, markersize=4)
    axes.set(xscale="log", ylim=(0, 1.6 * max(one["us"] for one in growth)), xlabel="members, messages, hits")
    axes.set_title("microseconds of the server for one call", fontsize=9, loc="left")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    plain([axes])
    save("race_growth.svg", figure)
