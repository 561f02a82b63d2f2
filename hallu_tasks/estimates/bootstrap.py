"""Scores with their intervals, for answers that were read from files.

Every interval is over images: Wilson's for a proportion of independent captions (CHAIR_s, Hal), else a percentile
bootstrap that draws images with all their questions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hallu_tasks.benchmarks import table as benchmarks
from hallu_tasks.benchmarks.table import Metric
from hallu_tasks.pope.answers import Question
from hallu_tasks.scoring import amber, chair, mme, opope, paired, pope, strategies
from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.units import Record

__all__ = [
    "Bootstrap",
    "Result",
    "Score",
    "amber_answers",
    "amber_descriptions",
    "chair_scores",
    "mme_scores",
    "opope_scores",
    "pope_scores",
]

_BENCHMARKS = {one.title: one for one in benchmarks.BENCHMARKS}


@dataclass(frozen=True)
class Score:
    """One number of the result: what it is called, its unit and better direction, and its estimate."""

    metric: Metric
    estimate: paired.Estimate


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn."""

    resamples: int = 10_000
    seed: int = 0

    def score(self, metric: Metric, records: Mapping[Any, Record], unit: Mapping[Any, Hashable]) -> Score:
        """The metric over `records`, resampling units; a proportion of single documents gets Wilson's interval."""
        if metric.outcome is not None and len(set(unit.values())) == len(unit):
            share = paired.proportion(records, outcome=metric.outcome, among=metric.among, empty=metric.empty)
            return Score(metric, share)
        estimate = paired.estimate(
            records, statistic=metric.statistic, unit=unit, resamples=self.resamples, seed=self.seed
        )
        return Score(metric, estimate)


DEFAULT = Bootstrap()

Result = dict[str, Any]
"""A scorer's result with a `Score` in the place of each number that has an interval."""


def chair_scores(
    captions: Mapping[int, str],
    truth: Mapping[int, Iterable[str]],
    mode: str = "reference",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `chair.aggregate` with a `Score` for each score, and ``images_count``."""
    records = {image: chair.record(text, frozenset(truth[image]), mode) for image, text in captions.items()}
    return {
        **chair.aggregate(records.values()),
        **_scores("CHAIR", records, {image: image for image in records}, bootstrap),
        "images_count": len(records),
    }


def pope_scores(
    said: Mapping[tuple[str, int, str], str],
    asked: Iterable[Question],
    policy: str = "official",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `pope.score_by_strategy` with a `Score` for each score, and ``images_count``.

    `said` maps the keys of all questions in `asked` to answers.
    """
    questions = {question.key: question for question in asked}
    labels = {key: question.label for key, question in questions.items()}
    result = pope.score_by_strategy(said, labels, policy)
    records = {key: pope.record(said[key], label, policy) for key, label in labels.items()}
    images = {key: question.image for key, question in questions.items()}
    metrics = [one for one in _BENCHMARKS["POPE"].metrics(records.values()) if one.name in pope.STATISTICS]
    return {**result, **_by_strategy(result, metrics, "f1", records, images, bootstrap)}


OPOPE = (
    Metric("accuracy", "accuracy", opope.STATISTICS["accuracy"], "higher", outcome="correct"),
    Metric("precision", "precision", opope.STATISTICS["precision"], "higher"),
    Metric("recall", "recall", opope.STATISTICS["recall"], "higher"),
    Metric("f_beta", f"F_{opope.BETA}", opope.STATISTICS["f_beta"], "higher"),
    Metric("yes_ratio", "yes ratio", opope.STATISTICS["yes_ratio"], None),
)


def opope_scores(
    captions: Mapping[Any, str],
    asked: Iterable[Question],
    mode: str = "reference",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `opope.score_by_strategy` with a `Score` for each score, and ``images_count``.

    `captions` maps the images of all questions in `asked` to captions, and may hold more.
    """
    questions = {question.key: question for question in asked}
    strategies: dict[str, list[dict[str, Any]]] = {}
    for (strategy, _, text), question in questions.items():
        row = {"image": question.image, "text": text, "label": question.label}
        strategies.setdefault(strategy, []).append(row)
    result = opope.score_by_strategy(captions, strategies, mode)
    records = {
        key: opope.record(captions[question.image], key[2], question.label, mode) for key, question in questions.items()
    }
    images = {key: question.image for key, question in questions.items()}
    return {**result, **_by_strategy(result, OPOPE, "f_beta", records, images, bootstrap)}


def mme_scores(records: Iterable[Mapping[str, Any]], bootstrap: Bootstrap = DEFAULT) -> Result:
    """Return `mme.score` with a `Score` for the points of each subtask and total that is there."""
    listed = list(records)
    result = mme.score(listed)
    for metric in _BENCHMARKS["MME"].metrics(listed):
        pairs = mme.pairs(record for record in listed if record["category"] in metric.subtasks)
        score = bootstrap.score(metric, pairs, {key: _mme_image(*key) for key in pairs})
        if metric.name in mme.TOTALS:
            result[metric.name] = score
        else:
            result["subtasks"][metric.name]["score"] = score
    return result


def amber_descriptions(
    described: Mapping[int, str],
    scenes: Mapping[int, amber.Scene],
    vocabulary: amber.Vocabulary,
    mode: str = "reference",
    similarity: str = "none",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `amber.aggregate_generative` with a `Score` for each score; `scenes` may hold more ids."""
    records = {
        number: amber.record_generative(text, scenes[number], vocabulary, mode, similarity)
        for number, text in described.items()
    }
    return {
        **amber.aggregate_generative(records.values()),
        **_scores("AMBER generative", records, {number: number for number in records}, bootstrap),
    }


def amber_answers(
    answered: Mapping[int, str],
    questions: Mapping[int, amber.Question],
    images: Mapping[int, Hashable] | None,
    policy: str = "words",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `amber.aggregate_discriminative` with a `Score` for each score, also of the groups that are asked for.

    `questions` may hold more ids. Without `images`, the image of each question, scores have no interval;
    ``images_count`` is then ``None``.
    """
    records = {
        number: amber.record_discriminative(text, questions[number], policy) for number, text in answered.items()
    }
    result = amber.aggregate_discriminative(records.values())
    metrics = {one.name: one for one in _BENCHMARKS["AMBER discriminative"].metrics(records.values())}

    def scores(prefix: str = "") -> dict[str, Score]:
        own = [
            replace(metrics[name], statistic=amber.STATISTICS[prefix + name], outcome=None)
            for name in ("accuracy", "precision", "recall", "f1")
        ]
        if images is None:
            return {one.name: _without_images(one, records) for one in own}
        return {one.name: bootstrap.score(one, records, images) for one in own}

    return {
        **result,
        **scores(),
        "groups": {
            group: {**values, **(scores(f"{group}.") if values["questions_count"] else {})}
            for group, values in result["groups"].items()
        },
        "images_count": None if images is None else len({images[number] for number in records}),
    }


def _without_images(metric: Metric, records: Mapping[Any, Record]) -> Score:
    """The value alone: questions about one image are not independent, and which they are is not known."""
    estimate = paired.estimate(records, statistic=metric.statistic, resamples=1)
    reasons = estimate.reasons
    if estimate.value is not None:
        reasons = {"interval": "the images of the questions are not known"}
    return Score(metric, replace(estimate, interval=None, reasons=reasons))


def _scores(
    title: str, records: Mapping[Any, Record], unit: Mapping[Any, Hashable], bootstrap: Bootstrap
) -> dict[str, Score]:
    metrics = _BENCHMARKS[title].metrics(records.values())
    # Counts stand beside the scores as plain numbers.
    return {one.name: bootstrap.score(one, records, unit) for one in metrics if not one.name.endswith("_count")}


def _by_strategy(
    result: Mapping[str, Any],
    metrics: Sequence[Metric],
    headline: str,
    records: Mapping[Any, Record],
    images: Mapping[Any, Hashable],
    bootstrap: Bootstrap,
) -> Result:
    """The parts of a result by strategy with a `Score` for each score; keys of `records` begin with the strategy."""
    by_strategy = {}
    for strategy in dict.fromkeys(key[0] for key in records):
        own = {key: record for key, record in records.items() if key[0] == strategy}
        scores = {one.name: bootstrap.score(one, own, {key: images[key] for key in own}) for one in metrics}
        by_strategy[strategy] = {**result["strategies"][strategy], **scores}
    pooled = {one.name: bootstrap.score(one, records, images) for one in metrics}
    name, label = f"{headline}_mean_of_strategies", pooled[headline].metric.label
    ratio = pooled[headline].metric.statistic
    assert isinstance(ratio, Ratio)
    mean = Metric(name, f"mean {label} of the strategies", strategies.mean(ratio, list(by_strategy)), "higher")
    columns = dict.fromkeys((ratio.numerator, *ratio.denominator))
    return {
        "strategies": by_strategy,
        "pooled": {**result["pooled"], **pooled},
        name: bootstrap.score(mean, strategies.apart(records, columns), images),
        f"{headline}_pooled": pooled[headline],
        "images_count": len(set(images.values())),
    }


def _mme_image(subtask: str, image: str) -> Hashable:
    # The four hallucination subtasks share COCO's images; elsewhere names such as 0001.png begin anew.
    return image if subtask in mme.HALLUCINATION else (subtask, image)
