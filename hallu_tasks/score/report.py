"""The result of ``hallu score`` as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hallu_tasks.estimates.bootstrap import Result, Score
from hallu_tasks.scoring import mme

__all__ = ["as_json", "as_text"]

MOST_COLUMNS = 4
"""More strategies than this, with their pooled scores, do not fit side by side and get a further table."""

TOTALS = ("hallucination", "perception", "cognition")
"""MME's totals, the one this package is about first."""

_COUNTED = {"by_default": "by default"}

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def as_json(result: Result) -> str:
    """Everything, unrounded; each `Score` as an object, ``null`` where a value is undefined, with its reason."""
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)


def as_text(result: Result) -> str:
    """Aligned columns under the benchmark, the rule, the files, and what was counted."""
    forms = {"CHAIR": _chair, "POPE": _pope, "OPOPE": _opope, "MME": _mme, "AMBER": _amber}
    body = forms[result["benchmark"]](result)
    files = result["files"]
    width = max(map(len, files))
    named = [f"{what.ljust(width)}  {', '.join(paths)}" for what, paths in files.items()]
    notes = [f"Warning: {warning}" for warning in result["warnings"]] + [f"Note: {note}" for note in result["notes"]]
    return "\n".join([*body[:1], *named, "Values with 95 % intervals over images.", *notes, "", *body[1:]])


def _chair(result: Result) -> list[str]:
    scores = [value for value in result.values() if isinstance(value, Score)]
    return [
        f"CHAIR in percent, mean length in tokens; mode {result['mode']}; {result['captions_count']} captions",
        *_table([[_label(score), _cell(score)] for score in scores]),
        "",
        f"{result['hallucinated_count']} of {result['mentions_count']} mentions are hallucinated; "
        f"{result['captions_without_objects_count']} captions name no object",
        *_reasons("", scores),
    ]


def _pope(result: Result) -> list[str]:
    return _by_strategy(
        result, f"POPE in percent; policy {result['policy']}", "f1", ("questions", "unparsed", "by_default")
    )


def _opope(result: Result) -> list[str]:
    return _by_strategy(result, f"OPOPE in percent; mode {result['mode']}", "f_beta", ("questions",))


def _by_strategy(result: Result, title: str, headline: str, counts: Sequence[str]) -> list[str]:
    columns: dict[str, Mapping[str, Any]] = dict(result["strategies"])
    if len(columns) > 1:
        columns["all pooled"] = result["pooled"]
    lines = [f"{title}; {result['pooled']['questions_count']} questions on {result['images_count']} images"]
    names = list(columns)
    for start in range(0, len(names), MOST_COLUMNS):
        shown = names[start : start + MOST_COLUMNS]
        first = [value for value in columns[shown[0]].values() if isinstance(value, Score)]
        rows = [["", *shown]]
        rows += [[_label(score), *(_cell(columns[name][score.metric.name]) for name in shown)] for score in first]
        rows += [
            [_COUNTED.get(what, what), *(str(columns[name][f"{what}_count"]) for name in shown)] for what in counts
        ]
        lines += [*_table(rows), ""]
    if len(columns) > 1:
        mean, pooled = result[f"{headline}_mean_of_strategies"], result[f"{headline}_pooled"]
        name = f"{pooled.metric.label} of all questions pooled ↑"
        lines += _table([[_label(mean), _cell(mean)], [name, _cell(pooled)]])
    for name, column in columns.items():
        lines += _reasons(f"{name}, ", [value for value in column.values() if isinstance(value, Score)])
    return lines if lines[-1] else lines[:-1]


def _mme(result: Result) -> list[str]:
    rows = [["", "points ↑", "accuracy", "accuracy+", "questions", "unparsed"]]
    for name in result["subtasks_present"]:
        subtask = result["subtasks"][name]
        numbers = [f"{subtask[key]:.1f}" for key in ("accuracy", "accuracy_plus")]
        counts = [_questions([subtask]), str(subtask["unparsed_count"])]
        rows.append([name, _cell(subtask["score"]), *numbers, *counts])
    totals = [[f"{name} (of {200 * len(mme.TOTALS[name])})", _total(result, name)] for name in TOTALS]
    scores = [result["subtasks"][name]["score"] for name in result["subtasks_present"]]
    return [
        f"MME in points, accuracy in percent; policy {result['policy']}; {result['questions_count']} questions on "
        f"{result['images_count']} images",
        *_table(rows),
        "",
        *_table(totals),
        *_reasons("", scores),
    ]


def _total(result: Result, name: str) -> str:
    if not isinstance(result[name], Score):
        return f"N/A, {result['reasons'][name]}"
    questions = _questions([result["subtasks"][one] for one in mme.TOTALS[name]])
    return _cell(result[name]) + ("" if questions.isdecimal() else f" over {questions} questions")


def _questions(subtasks: Sequence[Mapping[str, Any]]) -> str:
    """How many questions were scored, and of how many unless each subtask is whole."""
    found, official = ([one[f"questions_{what}count"] for one in subtasks] for what in ("", "official_"))
    return str(sum(found)) if found == official else f"{sum(found)} of {sum(official)}"


def _amber(result: Result) -> list[str]:
    halves = [("generative", _descriptions), ("discriminative", _answers)]
    parts = [form(result[half]) for half, form in halves if result[half] is not None]
    lines = [line for part in parts for line in ("", *part)]
    return ["AMBER in percent, mean length in tokens", *lines[1:]]


def _descriptions(result: Result) -> list[str]:
    scores = [value for value in result.values() if isinstance(value, Score)]
    return [
        f"generative; mode {result['mode']}, similarity {result['similarity']}; {result['responses_count']} of "
        f"{result['images_annotated_count']} images described",
        *_table([[_label(score), _cell(score)] for score in scores]),
        f"{result['hallucinated_count']} of {result['nouns_count']} nouns are hallucinated; "
        f"{result['responses_without_nouns_count']} responses have none, {result['responses_empty_count']} are blank",
        *_reasons("", scores),
    ]


def _answers(result: Result) -> list[str]:
    columns: dict[str, Mapping[str, Any]] = {"all": result}
    columns |= {name: group for name, group in result["groups"].items() if group["questions_count"]}
    on_images = "" if result["images_count"] is None else f" on {result['images_count']} images"
    rows = [["", _label(result["accuracy"]), 'always "no"', _label(result["f1"]), 'always "no"']]
    further = [["", _label(result["precision"]), _label(result["recall"]), "questions", "unparsed"]]
    for name, column in columns.items():
        cells = [(_cell(column[one]), _plain_number(column[f"always_no_{one}"])) for one in ("accuracy", "f1")]
        rows.append([name, *(cell for pair in cells for cell in pair)])
        counts = [str(column[f"{what}_count"]) for what in ("questions", "unparsed")]
        further.append([name, _cell(column["precision"]), _cell(column["recall"]), *counts])
    lines = [
        f'discriminative, "no" is positive; policy {result["policy"]}; {result["questions_count"]} of '
        f"{result['questions_annotated_count']} questions answered{on_images}",
        *_table(rows),
        "",
        *_table(further),
    ]
    for name, column in columns.items():
        scores = [value for value in column.values() if isinstance(value, Score)]
        # That no image is known is noted once, above.
        own = scores if on_images else [score for score in scores if score.estimate.value is None]
        lines += _reasons(f"{name}, ", own)
    return lines


def _plain_number(value: float | None) -> str:
    return "N/A" if value is None else f"{value:.1f}"


def _label(score: Score) -> str:
    return f"{score.metric.label}{_ARROWS[score.metric.direction]}"


def _cell(score: Score) -> str:
    value, interval = score.estimate.value, score.estimate.interval
    if value is None:
        return "N/A"
    return f"{value:.1f} " + ("[N/A]" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]")


def _reasons(prefix: str, scores: Sequence[Score]) -> Iterator[str]:
    """Why values or intervals are N/A."""
    for score in scores:
        for what, reason in list(score.estimate.reasons.items())[:1]:
            problem = "N/A" if what == "value" else "no interval"
            yield f"{prefix}{score.metric.label}: {problem}, {reason}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in rows]


def _plain(value: object) -> object:
    if not isinstance(value, Score):
        raise TypeError(f"{value!r} has no JSON form")
    return {
        "value": value.estimate.value,
        "interval": value.estimate.interval,
        "method": value.estimate.method,
        "unit": value.metric.unit,
        "better": value.metric.direction,
        "reasons": value.estimate.reasons,
    }
