"""One row a figure, and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` is what was measured, as text with its unit; `holds` None where there is nothing to reach."""

    name: str
    value: str
    floor: str
    reach: str
    holds: bool | None


def show(figures: Sequence[Figure]) -> None:
    rows = [("figure", "measured", "floor", "reach", "")]
    verdicts = {True: "reached", False: "MISSED", None: ""}
    rows += [(one.name, one.value, one.floor, one.reach, verdicts[one.holds]) for one in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def ratio_figure(name: str, pairs: Sequence[tuple[float, float]], unit: str, reach: float) -> Figure:
    """From pairs of (product, floor) rates that were measured one right after the other: the median of their ratios,
    so that a noisy moment costs one pair and not the figure."""
    ratio = statistics.median(product / floor for product, floor in pairs)
    product, floor = (statistics.median(column) for column in zip(*pairs, strict=True))
    measured = f"{ratio:.2f} x ({product:.0f}{unit})"
    return Figure(name, measured, f"{floor:.0f}{unit}", f">= {reach:.2f} x", ratio >= reach)
