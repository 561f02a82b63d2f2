"""A comparison as one HTML file that needs nothing else: tables, forest plots, and the answers that changed sides.

The page makes no request, and its content security policy forbids any. Without scripts it shows the same, but for
filters and pictures.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hallu_tasks.benchmark import Span
from hallu_tasks.compare.comparison import Block, MetricRow, RunComparison
from hallu_tasks.compare.published import NONE, WARNING, Harness
from hallu_tasks.report import cells, drawing, forest, frontier, frontier_drawing, shams
from hallu_tasks.report.changes import Change, changes, expected
from hallu_tasks.report.thumbnails import Thumbnails

__all__ = ["as_html"]

MOST_ROWS = 3000
MOST_ROW_BYTES = 5_000_000
MOST_IMAGE_BYTES = 4_000_000
"""What a page holds of the changed answers; it says how much it leaves out."""

_SIDES = {True: ("fixed", "wrong → right"), False: ("broken", "right → wrong")}


def as_html(comparison: RunComparison, images: Path | None = None) -> str:
    """The page; `images` is a folder with the benchmark's images in place of ``HALLU_DATA``'s, as in `Thumbnails`."""
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    baseline, *others = comparison.arms
    what = others[0] if len(others) == 1 else f"{len(others)} arms"
    heading = f"{what} against {baseline}" if others else baseline
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    body = [
        f"<header><h1>{escape(heading)}</h1>",
        *(f'<p class="warning">Warning: {escape(text)}</p>' for text in comparison.warnings),
        *(f"<p>{escape(line)}</p>" for line in cells.legend(comparison)),
        "</header>",
        '<main><section aria-labelledby="arms"><h2 id="arms">Arms</h2>',
        *_arms(comparison),
        "</section>",
        *_plots(comparison),
        *_saying_less(comparison),
        '<section aria-labelledby="scores"><h2 id="scores">Scores and differences</h2>',
        *(part for block in comparison.blocks for part in _block(comparison, block)),
        "</section>",
        *shams.html(comparison, _table),
        *_published(comparison.published),
        *(_changed(comparison, Thumbnails(images)) if others else ()),
        "</main>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(heading)}</title><style>{style}</style></head>\n<body>"
        + "\n".join(body)
        + f"\n<script>{script}</script></body></html>\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _table(caption: str, head: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls on its own; `head` and `rows` are HTML already."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _arms(comparison: RunComparison) -> Iterator[str]:
    fastest = max((run.tokens_per_second or 0 for run in comparison.runs), default=0) or 1
    base = comparison.runs[0].tokens_per_second
    rows = []
    for number, (arm, run) in enumerate(zip(comparison.arms, comparison.runs)):
        speed = run.tokens_per_second
        share = f' <span class="note">×{speed / base:.2f}</span>' if number and speed and base else ""
        bar = _bar(speed / fastest) if speed else ""
        latest = f", the latest of {run.runs_count} runs" if run.runs_count > 1 else ""
        role = '<span class="note"> baseline</span>' if not number else ""
        parameters = str(run.hallu.get("parameters") or "").replace(",", ", ")
        rows.append(
            f'<tr><th scope="row">{escape(arm)}{role}</th><td>{escape(parameters)}</td>'
            f'<td class="number">{cells.speed(speed)}{share}{bar}</td>'
            f'<td class="note">{escape(str(run.file)).replace("/", "/<wbr>")}{latest}</td></tr>'
        )
    yield _table("What was compared", ("arm", "parameters", "tokens/s", "results"), rows)
    settings = [_settings(run.hallu) for run in comparison.runs]
    shared = [(name, value) for name, value in settings[0].items() if all(one.get(name) == value for one in settings)]
    if shared:
        listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in shared)
        count = "Settings that all arms share" if len(settings) > 1 else "Settings"
        yield f"<details><summary>{count}</summary><dl>{listed}</dl></details>"


def _bar(share: float) -> str:
    return (
        '<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="all" width="100" height="4"/><rect width="{100 * share:.1f}" height="4"/></svg>'
    )


def _settings(given: Mapping[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            found |= _settings(value, f"{before}{name} ")
        elif value not in (None, ""):
            found[before + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def _block(comparison: RunComparison, block: Block) -> Iterator[str]:
    rows = []
    for number, arm in enumerate(comparison.arms):
        columns = []
        for row in block.rows:
            value = f'<span class="value">{cells.value(row, number)}</span>'
            columns.append(f"<td>{value}{_change(row, number) if number else ''}</td>")
        rows.append(f'<tr><th scope="row">{escape(arm)}</th>{"".join(columns)}</tr>')
    yield _table(cells.title(block), ("arm", *(escape(cells.label(row.metric)) for row in block.rows)), rows)
    for reason in cells.reasons(block, comparison.arms):
        yield f'<p class="note">{escape(reason)}</p>'


def _change(row: MetricRow, arm: int) -> str:
    change = cells.change(row, arm)
    if row.kind == "ratio" or not row.tested:
        return f'<span class="difference">{change.size}</span>'
    contrast = row.contrasts[arm - 1]
    kind = _kind(contrast.side)
    verdict = f'<span class="verdict {kind}">{change.verdict}</span>'
    tested = f"p {escape(cells.p_value(contrast.result.p_value))}, Holm {escape(change.p_holm)}"
    return (
        f'<span class="difference {kind}">{change.size} {verdict if change.found else ""}</span>'
        f'<span class="note">{tested}{"" if change.found else f", {verdict}"}</span>'
    )


def _kind(verdict: str | None) -> str:
    return (verdict or "undefined").replace(" ", "-")


def _plots(comparison: RunComparison) -> Iterator[str]:
    panels = forest.panels(comparison)
    if not panels:
        return
    yield (
        '<section aria-labelledby="plots"><h2 id="plots">Differences at a glance</h2>'
        f'<p class="key">Difference to {escape(comparison.arms[0])} with its 95 % interval. '
        '<span><b class="better">●</b> better</span> <span><b class="worse">●</b> worse</span> '
        '<span><b class="higher">●</b> differs, no side is better</span> '
        '<span><b class="no-difference">○</b> no difference</span></p><div class="plots">'
    )
    for panel in panels:
        caption = f"<b>{escape(panel.metric)}</b> ({escape(panel.unit)}) <span>{escape(panel.task)}</span>"
        yield f"<figure><figcaption>{caption}</figcaption>{drawing.svg(panel)}</figure>"
    yield "</div></section>"


def _saying_less(comparison: RunComparison) -> Iterator[str]:
    panels = frontier.panels(comparison)
    if not panels:
        return
    baseline, *arms = comparison.arms
    numbered = len(arms) > frontier.MOST_NAMES
    yield (
        '<section aria-labelledby="less"><h2 id="less">Does it beat saying less?</h2>'
        f"<p>Shorter captions hallucinate less. The line is what {escape(baseline)} would score if its captions were "
        "cut after 1, 2, ... mentions of an object, with its 95 % band; ◆ is the whole captions. An arm beats saying "
        "less where it lies below the line.</p>"
        '<p class="key">Upright lines: 95 % interval of the difference to the line. '
        '<span><b class="better">●</b> beats saying less</span> '
        '<span><b class="worse">●</b> worse than saying less</span> '
        '<span><b class="no-difference">○</b> no more than saying less (Holm)</span>'
    )
    if any(point.interval is None for panel in panels for point in panel.points):
        yield '<span><b class="undefined">×</b> no cut has its recall</span>'
    yield "</p>"
    for panel in panels:
        drawn = frontier_drawing.svg(panel, numbered)
        yield f'<figure class="wide"><figcaption><b>{escape(panel.task)}</b></figcaption>{drawn}</figure>'
    if numbered:
        yield frontier_drawing.key(arms)
    yield "</section>"


def _published(harnesses: Sequence[Harness] | None) -> Iterator[str]:
    if harnesses is None:
        return
    yield '<section aria-labelledby="published"><h2 id="published">Published numbers</h2>'
    yield f'<p class="warning">{escape(WARNING if harnesses else NONE)}</p><div class="harnesses">'
    for harness in harnesses:
        rows = [
            f'<tr><th scope="row">{escape(row.label)}</th>'
            + "".join(f'<td class="number">{cell}</td>' for cell in harness.cells(row))
            + "</tr>"
            for row in harness.rows
        ]
        yield _table(harness.title, ("method", *map(escape, harness.scores)), rows)
    yield "</div></section>"


def _changed(comparison: RunComparison, thumbnails: Thumbnails) -> Iterator[str]:
    found = changes(comparison)
    tasks = list(comparison.tasks)
    counts = Counter((one.task, one.arm, one.fixed) for one in found)
    yield (
        '<section aria-labelledby="changed"><h2 id="changed">What changed sides</h2><p>Answers that are right in one '
        f"of two arms: <b>fixed</b> is wrong in {escape(comparison.arms[0])} and right in the arm, <b>broken</b> the "
        "other way round. A caption is right when it names no object that is not in the image, an answer with partial "
        "credit from half of it on.</p>"
    )
    head = ("arm", *(f"{escape(task)} <span>fixed, broken</span>" for task in tasks))
    rows = []
    for arm, name in enumerate(comparison.arms[1:], start=1):
        pairs = ((counts[task, arm, True], counts[task, arm, False]) for task in tasks)
        cell = '<td><span class="fixed">+{}</span> <span class="broken">−{}</span></td>'
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cell.format(*pair) for pair in pairs)}</tr>')
    yield _table("Answers that changed sides", head, rows)
    if found:
        yield from _answers(comparison, tasks, found, thumbnails)
    else:
        yield "<p>No answer changed sides.</p>"
    yield "</section>"


def _answers(
    comparison: RunComparison, tasks: Sequence[str], found: Sequence[Change], thumbnails: Thumbnails
) -> Iterator[str]:
    kept, left = _fitting(comparison.arms, found)
    pictures, lacking = _pictures([one for one, _ in kept], thumbnails)
    if left:
        yield f'<p class="note">{left:,} of {len(found):,} changed answers are left out, to keep the file small.</p>'
    if lacking:
        yield f'<p class="note">{lacking}</p>'
    yield _filters(tasks, comparison.arms)
    yield (
        f'<table id="answers" class="answers{"" if pictures else " plain"}" role="table">'
        '<caption class="hidden">Changed answers</caption>'
        '<thead role="rowgroup"><tr role="row">'
        + "".join(
            f'<th scope="col" role="columnheader">{name}</th>'
            for name in ("image", "question", escape(comparison.arms[0]), "arm")
        )
        + '</tr></thead><tbody role="rowgroup">'
    )
    yield from (row for _, row in kept)
    yield '</tbody></table><p class="more"><button type="button" id="more" hidden>Show more</button></p>'
    # In a script only "</" could end the data, and an image's id may hold anything.
    data = json.dumps(pictures, sort_keys=True).replace("<", "\\u003c")
    yield f'<script type="application/json" id="pictures">{data}</script>'


def _fitting(arms: Sequence[str], found: Sequence[Change]) -> tuple[list[tuple[Change, str]], int]:
    """The rows that fit, as many of each task, arm and side as possible, in their order; how many do not."""
    groups: dict[tuple[str, int, bool], list[int]] = {}
    for place, change in enumerate(found):
        groups.setdefault((change.task, change.arm, change.fixed), []).append(place)
    by_turns = sorted((turn, place) for group in groups.values() for turn, place in enumerate(group))
    rows: dict[int, str] = {}
    size = 0
    for _, place in by_turns[:MOST_ROWS]:
        row = _row(arms, found[place])
        size += len(row.encode())
        if size > MOST_ROW_BYTES:
            break
        rows[place] = row
    return [(found[place], rows[place]) for place in sorted(rows)], len(found) - len(rows)


def _pictures(kept: Sequence[Change], thumbnails: Thumbnails) -> tuple[dict[str, str], str]:
    """Pictures by `_image_key`, and what is to be said of those that are not there."""
    wanted = {_image_key(change): change for change in kept}
    pictures: dict[str, str] = {}
    absent = left = size = 0
    for key, change in wanted.items():
        picture = thumbnails.get(change.task, change.image, change.subtask)
        if picture is None:
            absent += 1
        elif size + len(picture) > MOST_IMAGE_BYTES:
            left += 1
        else:
            pictures[key] = picture
            size += len(picture)
    said = []
    if absent:
        said.append(
            f"{absent:,} of {len(wanted):,} images were not found; --images FOLDER says where they are, or HALLU_DATA."
        )
    if left:
        said.append(f"{left:,} of {len(wanted):,} images are left out, to keep the file small.")
    return pictures, " ".join(said)


def _image_key(change: Change) -> str:
    return f"{change.task} {f'{change.subtask}/' if change.subtask else ''}{change.image}"


def _filters(tasks: Sequence[str], arms: Sequence[str]) -> str:
    def options(everything: str, names: Mapping[str, str]) -> str:
        listed = "".join(f'<option value="{escape(value)}">{escape(name)}</option>' for value, name in names.items())
        return f'<option value="">{everything}</option>{listed}'

    numbered = {str(number): arm for number, arm in enumerate(arms) if number}
    sides = {"fixed": "fixed (wrong → right)", "broken": "broken (right → wrong)"}
    return (
        '<form id="filter" hidden>'
        f'<label>task <select name="task">{options("all", {task: task for task in tasks})}</select></label>'
        f'<label>arm <select name="arm">{options("all", numbered)}</select></label>'
        f'<label>side <select name="side">{options("both", sides)}</select></label>'
        '<label class="search">text <input type="search" name="text" placeholder="in questions and answers" '
        'autocomplete="off" spellcheck="false"></label>'
        '<button type="reset">Reset</button><output name="count" aria-live="polite"></output></form>'
    )


def _row(arms: Sequence[str], change: Change) -> str:
    side, told = _SIDES[change.fixed]
    arm = escape(arms[change.arm])
    before, after = (_marked(one.answer, change.benchmark.marked(one)) for one in (change.before, change.after))
    return (
        f'<tr role="row" data-task="{escape(change.task)}" data-arm="{change.arm}" data-side="{side}">'
        f'<td role="cell" class="image"><img data-image="{escape(_image_key(change))}" alt="" hidden></td>'
        f'<td role="cell"><span class="{side}" title="{told}">{side}</span> <b>{arm}</b> '
        f'<span class="note">{escape(change.task)}&nbsp;{change.document}</span><br>{escape(change.before.prompt)}'
        f'<span class="note expected">expected: {escape(expected(change.before))}</span></td>'
        f'<td role="cell" data-label="{escape(arms[0])}">{before}</td>'
        f'<td role="cell" data-label="{arm}">{after}</td></tr>'
    )


def _marked(text: str, spans: Sequence[Span]) -> str:
    parts, place = [], 0
    for start, end, category in spans:
        parts.append(escape(text[place:start]))
        parts.append(f'<mark title="not in the image: {escape(category)}">{escape(text[start:end])}</mark>')
        place = end
    parts.append(escape(text[place:]))
    return "".join(parts) or '<span class="note">(empty)</span>'
