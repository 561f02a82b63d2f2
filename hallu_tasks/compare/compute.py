"""Compare runs of lmms-eval, with paired differences on the same documents.

The first arm is the baseline. Every other arm gets, for every metric, the difference to it with a 95 %
interval from a bootstrap over images, a p value, and a verdict. The p value of a proportion (CHAIR_s, Hal,
accuracy) is McNemar's exact one, that of a ratio comes from the same bootstrap. An arm is better or worse
only where the p value stays below 0.05 after Holm's correction over everything that is shown and the interval
leaves out zero; the second condition matters where several questions share an image, which McNemar's test
takes for independent. No p value is below the least that the exact test on the images can give, 2 / 2**n for n images
that differ, and on so few images that even this could not pass Holm's first step there is no verdict.

Arms that have all tasks of POPE's group are compared in the numbers that papers state: F1, accuracy and yes ratio as
means over the strategies, each counting the same, and F1 pooled over all questions. The mean accuracy of strategies of
one size is that of all questions. An image is resampled with its questions of all strategies, and no p value is
McNemar's, for the strategies share the questions that are answered yes. Each strategy is a part of these numbers that
would only make Holm's correction stricter, and is shown on request.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hallu_tasks.benchmark import Benchmark, Metric
from hallu_tasks.benchmarks import table
from hallu_tasks.compare import cuts, differences, groups, rescored, shams, threshold
from hallu_tasks.compare.arms import baseline_first
from hallu_tasks.compare.comparison import (
    ALPHA,
    VS_CUT,
    BesideSham,
    Block,
    Contrast,
    Controls,
    MetricRow,
    RunComparison,
)
from hallu_tasks.runs.results import Run
from hallu_tasks.scoring import paired, yesno

__all__ = ["compare"]

Records = Mapping[Any, Mapping[str, Any]]
ByTask = Mapping[str, Sequence[Mapping[int, Mapping[str, Any]]]]
"""Each arm's records of a task, by document."""


def compare(
    runs: Sequence[Run],
    *,
    baseline: str | None = None,
    allow_different: Sequence[str] = (),
    every_metric: bool = False,
    controls: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> RunComparison:
    """Compare runs on the documents they share.

    `baseline` is the name of an arm as `arms.names` makes it, its model id or its path. `allow_different` are
    names of `differences.NAMES`. With `controls` each arm is also compared with those of its method's shams that are
    among the arms, and Holm's correction is over these p values too.

    Raises `ValueError` for runs that differ in more than the method, runs without a common task, and an
    unknown baseline.
    """
    if seed < 0:
        raise ValueError(f"--seed {seed}: a whole number of at least 0, e.g. --seed 0")
    ordered, arms = baseline_first(runs, baseline)
    shared, notes = _shared_tasks(ordered, arms)
    found = differences.find(ordered, shared)
    refused = [difference for difference in found if difference.name not in allow_different]
    if refused:
        raise ValueError(differences.refusal(refused, arms))
    grouped = groups.find(ordered, shared)
    if not every_metric:
        notes += [groups.parts(name, tasks) for name, tasks in grouped.items()]
    unseen: list[str] = []

    def made(of: Sequence[int], kinds: Mapping[str, Benchmark], notes: list[str], lost: list[str]) -> tuple[Block, ...]:
        """The blocks of these arms, with the rows that need no threshold."""
        own, titles = [ordered[one] for one in of], [arms[one] for one in of]
        found = _blocks(own, kinds, grouped, every_metric, resamples, seed, notes)
        return tuple(
            threshold.added(block, answered, own, titles, resamples=resamples, seed=seed, notes=lost)
            for block, answered in found
        )

    blocks = made(range(len(ordered)), shared, notes, unseen)
    if any(block.benchmark.discrimination for block in blocks):
        unseen += threshold.other_tokens(ordered, arms)
    # Beside a sham it is the arm's score that counts, not what cutting the sham's captions would give.
    uncut = {task: replace(benchmark, cuts=None) for task, benchmark in shared.items()}
    beside = shams.beside(ordered) if controls else []
    placebos = [made(pair, uncut, [], []) for pair in beside]
    verdicts = iter(judged((*blocks, *(block for part in placebos for block in part))))
    blocks = tuple(itertools.islice(verdicts, len(blocks)))
    found_shams = [
        BesideSham(sham, tuple(others), tuple(itertools.islice(verdicts, len(part))))
        for (sham, *others), part in zip(beside, placebos)
    ]
    comparison = RunComparison(
        tuple(arms),
        tuple(ordered),
        shared,
        blocks,
        tuple(found),
        tuple(notes),
        resamples,
        seed,
        controls=Controls(tuple(found_shams), shams.missing(ordered)) if controls else None,
    )
    unread = list(_unread(blocks, ordered, arms))
    return replace(
        comparison,
        warnings=tuple(text for loud, text in unread if loud),
        notes=(
            *notes,
            *(text for loud, text in unread if not loud),
            *(f"{block.task}: CHAIR_i vs cut is left out: {block.uncut}" for block in blocks if block.uncut),
            *_too_few_units(comparison),
            *_too_few(comparison),
            *unseen,
        ),
    )


def _shared_tasks(runs: Sequence[Run], arms: Sequence[str]) -> tuple[dict[str, Benchmark], list[str]]:
    """The tasks of all runs that can be compared, in reading order, and what is left out."""
    shared: dict[str, Benchmark] = {}
    notes = []
    for task in dict.fromkeys(task for run in runs for task in run.tasks):
        having = [arm for arm, run in zip(arms, runs) if task in run.tasks]
        kinds = [table.of(run.tasks[task].samples) for run in runs if task in run.tasks]
        if len(having) < len(arms):
            notes.append(f"{task} is left out: only {', '.join(having)} has it")
        elif kinds[0] is None or any(kind is not kinds[0] for kind in kinds):
            titles = ", ".join(benchmark.title for benchmark in table.BENCHMARKS)
            notes.append(f"{task} is left out: its samples carry no records of {titles}")
        else:
            shared[task] = kinds[0]
    if not shared:
        raise ValueError(f"there is no task to compare: {'; '.join(notes)}; run every arm with the same hallu_* tasks")
    order = {benchmark.id: place for place, benchmark in enumerate(table.BENCHMARKS)}
    return dict(sorted(shared.items(), key=lambda item: (order[item[1].id], item[0]))), notes


def _unread(blocks: Sequence[Block], runs: Sequence[Run], arms: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """What is to be said of yes/no answers that are neither, and whether it is a warning."""
    for block in blocks:
        benchmark = block.benchmark
        if benchmark.unread is None or block.rescored:
            continue
        records = [list(_answered(run, block)) for run in runs]
        policy = str(records[0][0][benchmark.rule]) if benchmark.rule else benchmark.policy
        found = [Counter(map(benchmark.unread, arm)) for arm in records]
        for kind in ("by default", "unparsed"):
            counts = {f"answers of {arm}": (counted[kind], counted.total()) for arm, counted in zip(arms, found)}
            if said := yesno.caution(counts, policy, default=kind == "by default"):
                yield said[0], f"{block.task}: {said[1]}"


def _answered(run: Run, block: Block) -> Iterator[Mapping[str, Any]]:
    for task in block.tasks or (block.task,):
        for sample in run.tasks[task].samples.values():
            yield block.benchmark.record(sample) or {}


def _too_few_units(comparison: RunComparison) -> Iterator[str]:
    """What is said where a verdict is missing for want of images, or of what else is resampled."""
    counts: dict[str, set[int]] = {}
    for one in (one for block in comparison.blocks for row in block.rows for one in row.contrasts):
        if "verdict" in one.result.reasons:
            counts.setdefault(one.unit, set()).add(one.result.units_count)
    for unit, found in counts.items():
        fewest, most = min(found), max(found)
        number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        yield (
            f"{number} {unit}{'s' * (most > 1)} are too few for a verdict: "
            f"with {comparison.p_values_count} p values it needs at least {comparison.units_for_a_verdict} {unit}s, "
            f"where 2 / 2**n, the least p value of the exact test, is below {ALPHA} / {comparison.p_values_count}"
        )


def _too_few(comparison: RunComparison) -> Iterator[str]:
    """A warning where the least p value a bootstrap can give, 2 / (resamples + 1), does not survive Holm."""
    count, resamples = comparison.p_values_count, comparison.resamples
    if 2 / (resamples + 1) * count >= ALPHA:
        yield (
            f"{resamples} resamples are too few for {count} p values: no bootstrap p value can stay below {ALPHA} "
            f"after Holm; use --resamples {math.ceil(2 * count / ALPHA / 1000) * 1000} or show less"
        )


def _blocks(
    runs: Sequence[Run],
    shared: Mapping[str, Benchmark],
    grouped: Mapping[str, tuple[str, ...]],
    every_metric: bool,
    resamples: int,
    seed: int,
    notes: list[str],
) -> Iterator[tuple[Block, ByTask]]:
    """Each block with the records that it is made of.

    A group stands where the first of its tasks would be, then each task; those of a group where all is asked for.
    Behind each stand the same answers under other labels, where the user has these; `notes` gets what is left out.
    """
    for task, benchmark in shared.items():
        for name, tasks in grouped.items():
            if task == tasks[0]:
                by_task = {one: _records(one, benchmark, runs) for one in tasks}
                yield _group_block(name, by_task, benchmark, runs, resamples, seed), by_task
                if again := rescored.found(name, by_task, benchmark, runs, shared, notes):
                    block = _group_block(again.name, again.records, again.kind, runs, resamples, seed)
                    yield replace(block, tasks=tasks, rescored=name, limited=again.limited), again.records
        if every_metric or not any(task in tasks for tasks in grouped.values()):
            records = _records(task, benchmark, runs)
            yield _block(task, records, benchmark, runs, every_metric, resamples, seed), {task: records}
            if again := rescored.found(task, {task: records}, benchmark, runs, shared, notes):
                block = _block(again.name, again.records[task], again.kind, runs, every_metric, resamples, seed)
                yield replace(block, rescored=task, limited=again.limited), again.records


def _block(
    task: str,
    records: Sequence[Mapping[int, Mapping[str, Any]]],
    benchmark: Benchmark,
    runs: Sequence[Run],
    every_metric: bool,
    resamples: int,
    seed: int,
) -> Block:
    rows = []
    for metric in benchmark.metrics(records[0].values()):
        if metric.headline or every_metric:
            prepared = [benchmark.documents(metric, arm) for arm in records]
            rows.append(_row(metric, [one for one, _ in prepared], prepared[0][1], resamples, seed))
    count, images = len(records[0]), _images_count(benchmark, records[0])
    block = Block(task, benchmark, count, images, tuple(rows), limited=_limited([task], count, runs))
    if benchmark.cuts is None or len(runs) < 2:
        return block
    sampled = differences.sampled(runs[0], task)
    return cuts.added(
        block, records, runs[0].tasks[task].samples, sampled, every_metric=every_metric, resamples=resamples, seed=seed
    )


def _group_block(
    name: str,
    by_task: Mapping[str, Sequence[Mapping[int, Mapping[str, Any]]]],
    benchmark: Benchmark,
    runs: Sequence[Run],
    resamples: int,
    seed: int,
) -> Block:
    assert benchmark.group is not None
    tasks = tuple(by_task)
    records = [
        {(task, document): record for task in tasks for document, record in by_task[task][arm].items()}
        for arm in range(len(runs))
    ]
    prepared = [benchmark.group.documents(arm) for arm in records]
    arms, unit = [one for one, _ in prepared], prepared[0][1]
    rows = tuple(_row(metric, arms, unit, resamples, seed) for metric in benchmark.group.metrics(tasks))
    limited = _limited(tasks, len(unit), runs)
    return Block(name, benchmark, len(unit), _images_count(benchmark, records[0]), rows, tasks, limited)


def _limited(tasks: Sequence[str], compared: int, runs: Sequence[Run]) -> tuple[int, int] | None:
    if not any(task in run.limited for task in tasks for run in runs):
        return None
    counts = [[run.counts(task) or (0, 0) for run in runs] for task in tasks]
    return compared, sum(max(every for _, every in arms) for arms in counts)


def _records(task: str, benchmark: Benchmark, runs: Sequence[Run]) -> list[Mapping[int, Mapping[str, Any]]]:
    """Each run's records of the documents that all runs share."""
    samples = [run.tasks[task].samples for run in runs]
    documents = differences.shared_documents(samples, benchmark)
    if not documents:
        raise ValueError(f"the arms have no document of {task} in common; rerun them with the same --limit and data")
    return [
        benchmark.scored({document: benchmark.record(arm[document]) or {} for document in documents}) for arm in samples
    ]


def _images_count(benchmark: Benchmark, records: Records) -> int:
    return len({repr(record.get(benchmark.image)) for record in records.values()})


def _row(metric: Metric, arms: Sequence[Records], unit: Mapping[Any, Hashable], resamples: int, seed: int) -> MetricRow:
    results = [_contrast(metric, arms[0], arm, unit, resamples, seed) for arm in arms[1:]]
    if results:
        estimates = (results[0].a, *(result.b for result in results))
    else:
        # A single arm's estimate is that of a comparison with itself.
        estimates = (_contrast(metric, arms[0], arms[0], unit, resamples, seed).a,)
    return MetricRow(metric, estimates, tuple(Contrast(result, None, None) for result in results))


def _contrast(
    metric: Metric, a: Records, b: Records, unit: Mapping[Any, Hashable], resamples: int, seed: int
) -> paired.Comparison:
    if metric.outcome is None:
        return paired.compare(a, b, statistic=metric.statistic, unit=unit, resamples=resamples, seed=seed)
    if len(set(unit.values())) == len(unit):
        return paired.compare_proportions(
            a, b, outcome=metric.outcome, among=metric.among, empty=metric.empty, resamples=resamples, seed=seed
        )
    assert metric.among is None  # Of the questions that share an image, all count.
    result = paired.compare(a, b, statistic=metric.statistic, unit=unit, resamples=resamples, seed=seed)
    outcomes = [(a[document][metric.outcome], b[document][metric.outcome]) for document in a]
    only_a, only_b = (sum(pair == alone for pair in outcomes) for alone in ((1, 0), (0, 1)))
    reasons = {key: text for key, text in result.reasons.items() if key != "p_value"}
    # Questions that share an image agree more than McNemar's test takes them to.
    p_value = max(paired.mcnemar(only_a, only_b), paired.least_p_value(_differing(metric.outcome, a, b, unit)))
    return replace(result, p_value=p_value, test="exact McNemar", reasons=reasons)


def _differing(outcome: str, a: Records, b: Records, unit: Mapping[Any, Hashable]) -> int:
    """How many images differ in how many of their questions are 1."""
    gained: Counter[Hashable] = Counter()
    for document, image in unit.items():
        gained[image] += b[document][outcome] - a[document][outcome]
    return sum(change != 0 for change in gained.values())


def judged(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks with corrected p values and verdicts."""
    contrasts = [contrast for block in blocks for row in block.rows for contrast in row.contrasts]
    p_values = {str(place): contrast.result.p_value for place, contrast in enumerate(contrasts)}
    corrected = paired.holm({place: p_value for place, p_value in p_values.items() if p_value is not None})
    in_order = iter([corrected.get(place) for place in p_values])
    needed = paired.units_for(ALPHA / max(1, len(corrected)))

    def with_verdicts(row: MetricRow, unit: str) -> MetricRow:
        found = [_judge(row.metric, one.result, next(in_order), needed, unit) for one in row.contrasts]
        if row.kind == "cut":
            found = [replace(one, verdict=VS_CUT.get(one.verdict or "")) for one in found]
        return replace(row, contrasts=tuple(found))

    return tuple(
        threshold.told(replace(block, rows=tuple(with_verdicts(row, block.benchmark.resampled) for row in block.rows)))
        for block in blocks
    )


def _judge(metric: Metric, result: paired.Comparison, p_holm: float | None, needed: int, unit: str) -> Contrast:
    if result.difference is None or p_holm is None:
        return Contrast(result, p_holm, None)
    if result.units_count < needed:
        reason = f"a verdict needs at least {needed} {unit}s; there are {result.units_count}"
        return Contrast(replace(result, reasons={**result.reasons, "verdict": reason}), p_holm, None, unit)
    low, high = result.interval or (0.0, 0.0)
    if p_holm >= ALPHA or low <= 0 <= high:
        return Contrast(result, p_holm, "no difference")
    change = "higher" if result.difference > 0 else "lower"
    if metric.direction is None:
        return Contrast(result, p_holm, change)
    return Contrast(result, p_holm, "better" if change == metric.direction else "worse")
