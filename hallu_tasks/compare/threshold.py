"""Rows that compare yes/no answers without the threshold: does an arm see better, or does it say yes more often?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hallu_tasks.benchmark import Discrimination, Metric
from hallu_tasks.compare.comparison import THRESHOLD_MOVED, Block, Contrast, MetricRow
from hallu_tasks.runs.results import Run, Sample
from hallu_tasks.scoring import margins, paired, yesno
from hallu_tasks.scoring.margins import Answer
from hallu_tasks.scoring.units import Array
from hallu_tasks.scoring.yesno import MOST_UNREAD

__all__ = ["added", "other_tokens", "told"]

AUROC, ACCURACY, F1 = (f"{name}{'' if name == 'auroc' else '_at_yes_ratio'}" for name in margins.SCORES)
_LABELS = {AUROC: "AUROC", ACCURACY: "same-ratio accuracy", F1: "same-ratio F1"}
_AS_ACCURACY = "that of accuracy at the same yes ratio, with which F1 rises and falls"


def added(
    block: Block,
    by_task: Mapping[str, Sequence[Mapping[int, Mapping[str, Any]]]],
    runs: Sequence[Run],
    arms: Sequence[str],
    *,
    resamples: int,
    seed: int,
    notes: list[str],
) -> Block:
    """The block with its rows; without them, and with a note that says why, where margins are missing.

    `by_task` are each arm's records, the baseline first, of the tasks whose answers the block is of.
    """
    kind = block.benchmark.discrimination
    if kind is None:
        return block
    keys = [(task, document) for task, records in by_task.items() for document in records[0]]
    samples = [{key: run.tasks[key[0]].samples[key[1]] for key in keys} for run in runs]
    records = [{(task, one): by_task[task][arm][one] for task, one in keys} for arm in range(len(runs))]
    found = list(_missing(block.task, samples, arms))
    usable = [arm for arm in range(len(arms)) if arm not in {arm for arm, _ in found}]
    having = [key for key in keys if all(samples[arm][key].margin.value is not None for arm in usable)]
    found += _contradicting(block.task, kind, having, samples, records, arms, usable)
    left_out = {arm for arm, _ in found if arm is not None}
    usable = [arm for arm in usable if arm not in left_out]
    without_rows = not having or 0 in left_out or len(usable) < min(2, len(arms))
    for arm, text in found:
        said = text if arm is None or without_rows else text.replace("AUROC is", f"AUROC of {arms[arm]} is", 1)
        notes += [said] if said not in notes else []
    if without_rows:
        return block
    answers = {
        key: Answer(
            kind.label(records[0][key], samples[0][key]),
            kind.says(records[0][key], samples[0][key]) == "yes",
            tuple(_margin(samples[arm][key]) for arm in usable),
            key[0],
        )
        for key in having
    }
    if len(arms) == 1:
        # A single arm's estimate is that of a comparison with itself.
        answers = {key: replace(one, margins=one.margins * 2) for key, one in answers.items()}
    unit = {key: kind.unit(records[0][key]) for key in having}
    against = margins.compare(answers, unit=unit, positive=kind.positive, resamples=resamples, seed=seed)
    by_arm = dict(zip(usable[1:] or [1], against))
    results = {
        name: [
            getattr(by_arm[arm], score) if arm in by_arm else _absent(getattr(against[0], score))
            for arm in range(1, max(2, len(arms)))
        ]
        for name, score in zip(_LABELS, margins.SCORES)
    }
    rows = [_row(name, results[name], len(arms), bool(block.tasks)) for name in _LABELS]
    return replace(block, rows=(*block.rows, *rows))


def _absent(other: paired.Comparison) -> paired.Comparison:
    """What stands for an arm without margins, beside another's."""
    reasons = {"value": "no margins"}
    own = replace(other.b, value=None, interval=None, reasons=reasons)
    return replace(other, b=own, difference=None, interval=None, p_value=None, reasons={"difference": "no margins"})


def _row(name: str, results: Sequence[paired.Comparison], arms: int, mean: bool) -> MetricRow:
    metric = Metric(name, f"{'mean ' * mean}{_LABELS[name]}", _of_margins, "higher", "percent")
    if name == F1:
        results = [replace(one, p_value=None, reasons={**one.reasons, "p_value": _AS_ACCURACY}) for one in results]
    estimates = (results[0].a, *(one.b for one in results))[:arms]
    contrasts = tuple(Contrast(one, None, None) for one in results)[: arms - 1]
    return MetricRow(metric, estimates, contrasts, tested=name != F1)


def _of_margins(sums: Mapping[str, Array]) -> Array:
    raise AssertionError("these scores are made of margins, not of sums of records")


def _margin(sample: Sample) -> margins.Margin:
    """The margin; where a plausibility cut made it infinite, the one before the cut tells such margins apart."""
    assert sample.margin.value is not None
    return sample.margin.value, sample.margin.uncut or 0.0


def told(block: Block) -> Block:
    """The judged block; its AUROC says where the threshold moved and nothing else.

    That is where a score moved which a threshold moves, and neither AUROC nor accuracy at the same yes ratio did.
    """
    rows = {row.metric.name: row for row in block.rows}
    kind = block.benchmark.discrimination
    if kind is None or AUROC not in rows:
        return block

    def judged(arm: int, contrast: Contrast) -> Contrast:
        still = all(_still(rows[name].contrasts[arm]) for name in (AUROC, ACCURACY))
        moved = any(rows[name].contrasts[arm].verdict in ("better", "worse") for name in kind.moved if name in rows)
        return replace(contrast, verdict=THRESHOLD_MOVED) if still and moved else contrast

    own = tuple(judged(arm, contrast) for arm, contrast in enumerate(rows[AUROC].contrasts))
    return replace(block, rows=tuple(replace(row, contrasts=own) if row is rows[AUROC] else row for row in block.rows))


def _still(contrast: Contrast) -> bool:
    """Whether a score stays: no difference is shown, and none is in sight where Holm's correction hides it."""
    low, high = contrast.result.interval or (1.0, -1.0)
    return contrast.verdict == "no difference" and low <= 0 <= high


# What is said of margins, with the arm that has no rows for it; None where rows can be made.


def _missing(
    task: str, samples: Sequence[Mapping[tuple[str, int], Sample]], arms: Sequence[str]
) -> Iterator[tuple[int | None, str]]:
    lacking = [[key for key, sample in arm.items() if sample.margin.value is None] for arm in samples]
    without = [
        number
        for number, (keys, own) in enumerate(zip(lacking, samples))
        if len(keys) == len(own) and not any(own[key].margin.reason for key in keys)
    ]
    every = len(without) == len(arms)
    whose = "these runs" if every and len(arms) > 1 else " and ".join(arms[arm] for arm in without)
    others = "" if every else ", and the other arms did"
    for arm in without:
        yield arm, f"AUROC is left out: {whose} recorded no margins of yes and no{others}; rerun with this version"
    for arm, (keys, own) in enumerate(zip(lacking, samples)):
        if keys and arm not in without:
            many = 100 * len(keys) > MOST_UNREAD * len(own)
            what = "is left out" if many else "is without these questions"
            reason = own[keys[0]].margin.reason or "none was recorded"
            fix = "; rerun it greedily, with a prompt that asks for yes or no" if many else ""
            yield (
                arm if many else None,
                f"{task}: AUROC {what}: {len(keys)} of {len(own)} answers of {arms[arm]} have no margin "
                f"({own[keys[0]].place or keys[0][1]}: {reason}){fix}",
            )


def _contradicting(
    task: str,
    kind: Discrimination,
    having: Sequence[tuple[str, int]],
    samples: Sequence[Mapping[tuple[str, int], Sample]],
    records: Sequence[Mapping[tuple[str, int], Mapping[str, Any]]],
    arms: Sequence[str],
    usable: Sequence[int],
) -> Iterator[tuple[int | None, str]]:
    for arm in usable:
        own = {key: samples[arm][key] for key in having}
        wrong = [key for key, sample in own.items() if _contradicts(sample, kind.says(records[arm][key], sample))]
        if 100 * len(wrong) > MOST_UNREAD * len(own):
            sample = own[wrong[0]]
            yield (
                arm,
                f"{task}: AUROC is left out: {len(wrong)} of {len(own)} answers of {arms[arm]} are not what margins "
                f"say ({sample.place}: margin {sample.margin.value:g}, answer {sample.answer[:40]!r}); they do not "
                "begin with yes or no, so ask for one word, as in 'Please answer with yes or no.'",
            )
        tied = sum(math.isinf(sample.margin.value or 0) and sample.margin.uncut is None for sample in own.values())
        if 100 * tied > MOST_UNREAD * len(own):
            yield (
                None,
                f"{task}: {tied} of {len(own)} margins of {arms[arm]} are infinite and tie in AUROC: its method rules "
                "out yes or no; rerun it with a weaker cut, as by a smaller beta, to tell them apart",
            )


def _contradicts(sample: Sample, says: yesno.YesNo | None) -> bool:
    margin = sample.margin.value or 0.0
    return says is None or (margin != 0 and (margin > 0) != (says == "yes"))


def other_tokens(runs: Sequence[Run], arms: Sequence[str]) -> Iterator[str]:
    """What is said of arms whose tokens for yes and no differ."""
    found = [run.hallu.get("margins") or {} for run in runs]
    for arm, own in zip(arms[1:], found[1:]):
        if own and found[0] and own != found[0]:
            yield (
                f"margins of {arm} are of other tokens than those of {arms[0]}: a difference of AUROC is one of "
                "models; compare runs of one checkpoint to see what a method does"
            )
