"""A comparison as LaTeX tables for a paper: one a task, a row an arm, below it the differences. Needs booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hallu_tasks.benchmark import Metric
from hallu_tasks.compare.comparison import ALPHA, Block, MetricRow, RunComparison
from hallu_tasks.compare.published import WARNING, Harness
from hallu_tasks.report import cells

__all__ = ["as_latex", "escaped"]

_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # two of them would be a dash
    "'": "'{}",
}
_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", None: ""}


def as_latex(comparison: RunComparison) -> str:
    r"""The tables, to be put into a document with ``\input``; what a reader must know stands in their captions."""
    lines = [r"% \usepackage{booktabs} belongs into the preamble."]
    lines += [f"% Warning: {_comment(text)}" for text in comparison.warnings]
    lines += [f"% {_comment(line)}" for line in cells.legend(comparison)]
    for block in comparison.blocks:
        lines += ["", *_table(_caption(comparison, block), f"tab:{_label(block.task)}", *_block(comparison, block))]
    for number, harness in enumerate(comparison.published or (), 1):
        lines += ["", *_published(harness, number)]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text as LaTeX prints it: characters with a meaning are spelled out, line breaks and other controls are blanks."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return "".join(_ESCAPES.get(character, character) for character in plain)


def _number(cell: str) -> str:
    """Figures with a minus sign, which is longer than a hyphen."""
    return escaped(cell).replace("-{}", "$-$")


def _caption(comparison: RunComparison, block: Block) -> str:
    baseline, *others = comparison.arms
    said = [f"{cells.title(block)}.", "In brackets 95 % intervals."]
    if others:
        said.append(
            f"Below each arm its difference to {baseline} on the same images, p after Holm's correction over "
            f"{comparison.p_values_count} values."
        )
        said.append(f"An asterisk marks p below {ALPHA} and an interval without 0.")
    said += cells.saying_less([block], baseline)
    said += [f"{reason}." for reason in cells.reasons(block, comparison.arms)]
    said += [f"{text}." for text in comparison.warnings if text.startswith(f"{block.task}: ")]
    if any("verdict" in one.result.reasons for row in block.rows for one in row.contrasts):
        said.append(
            f"Too few {block.benchmark.resampled}s for a verdict, which needs {comparison.units_for_a_verdict}."
        )
    return escaped(" ".join(said))


def _block(comparison: RunComparison, block: Block) -> tuple[list[str], list[list[str]]]:
    head = ["", *(_metric(row.metric) for row in block.rows)]
    rows = []
    for number, arm in enumerate(comparison.arms):
        rows.append([escaped(arm), *(_number(cells.value(row, number)) for row in block.rows)])
        if number:
            rows.append(["", *(_difference(row, number) for row in block.rows)])
    return head, rows


def _metric(metric: Metric) -> str:
    return f"{escaped(metric.label)}{_ARROWS[metric.direction]}"


def _difference(row: MetricRow, arm: int) -> str:
    change = cells.change(row, arm)
    star = "^{*}" if change.found else ""
    p_holm = change.p_holm
    tested = f"$p<{p_holm[1:]}{star}$" if p_holm.startswith("<") else f"$p={p_holm}{star}$"
    size = _number(change.size).replace("×", r"$\times$")
    shown = [size, "N/A" if p_holm == "N/A" else tested] if p_holm else [size]
    return rf"{{\footnotesize {', '.join(shown)}}}"


def _published(harness: Harness, number: int) -> Iterator[str]:
    head = ["", *map(escaped, harness.scores)]
    rows = [[escaped(row.label), *map(_number, harness.cells(row))] for row in harness.rows]
    yield from _table(escaped(f"{harness.title}. {WARNING}"), f"tab:published-{number}", head, rows)


def _table(caption: str, label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (r"\begin{table}", r"  \centering", rf"  \caption{{{caption}}}", rf"  \label{{{label}}}")
    yield rf"  \begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    yield r"    \toprule"
    yield _row(head)
    yield r"    \midrule"
    yield from map(_row, rows)
    yield from (r"    \bottomrule", r"  \end{tabular}", r"\end{table}")


def _row(entries: Sequence[str]) -> str:
    # A row that begins with a bracket would be read as an option of the line break before it.
    first, *others = entries
    return f"    {' & '.join([f'{{}}{first}' if first[:1] in ('[', '*') else first, *others])} \\\\"


def _label(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", task)


def _comment(text: str) -> str:
    return " ".join(text.split())
