"""What a comparison shows of each benchmark: its metrics in reading order, their direction, what is resampled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import amber, chair, hallusion, mme, pope, strategies, textvqa, yesno
from hallu_tasks.scoring.paired import NOTHING
from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.units import Array, Statistic

__all__ = ["BENCHMARKS", "Benchmark", "Group", "Metric", "of"]

Record = Mapping[str, Any]
Direction = Literal["higher", "lower"]
Unread = Literal["by default", "unparsed"]


@dataclass(frozen=True)
class Metric:
    """One row. `direction` is the better one, ``None`` where neither is.

    `outcome` names the 0/1 column of a proportion, whose p value is McNemar's, and `among` that of the documents
    it is a proportion of, where these are not all. `subtasks` restricts MME's questions. Metrics that are no
    `headline` are shown on request.
    """

    name: str
    label: str
    statistic: Statistic
    direction: Direction | None
    unit: str = "percent"
    headline: bool = True
    outcome: str | None = None
    among: str | None = None
    subtasks: tuple[str, ...] = ()

    @property
    def empty(self) -> str:
        """Why it is undefined where nothing counts."""
        return self.statistic.empty if isinstance(self.statistic, Ratio) else NOTHING


@dataclass(frozen=True)
class Group:
    """The scores of several tasks of one benchmark together, where papers state these.

    `metrics` gives the rows for the names of the tasks, and `documents` what `paired` takes, both by task and
    document: records that any of these metrics can be computed of, and units that the tasks share.
    """

    metrics: Callable[[Sequence[str]], list[Metric]]
    documents: Callable[[Mapping[tuple[str, int], Record]], tuple[dict[Any, Record], dict[Any, Hashable]]]


@dataclass(frozen=True)
class Benchmark:
    """A kind of task, recognised by the columns of its records.

    `rule` is the field that names the scorer's rule, `image` the one that holds the image. `metrics` gives
    the rows for a task's records, and `documents` what `paired` takes: records and units by the same keys.
    """

    title: str
    unit: str
    noun: str
    columns: frozenset[str]
    image: str
    rule: str | None
    metrics: Callable[[Iterable[Record]], list[Metric]]
    documents: Callable[[Metric, Mapping[int, Record]], tuple[dict[Any, Record], dict[Any, Hashable]]]
    scored: Callable[[Mapping[int, Record]], Mapping[int, Record]] = dict
    """The records that count: a limited run may end in the middle of what is scored together."""
    completed: Callable[[Record, Sample], Record] = lambda record, sample: record
    """Adds what records hold in several parts, or what older ones lack."""
    unread: Callable[[Record], Unread | None] | None = None
    """For yes/no answers: how the policy failed to find a yes or a no."""
    group: Group | None = None

    def record(self, sample: Sample) -> Record | None:
        """The sample's record, ``None`` when it is not one of this benchmark."""
        found = next((record for record in sample.records.values() if self.columns <= record.keys()), None)
        return None if found is None else self.completed(found, sample)


def of(samples: Mapping[int, Sample]) -> Benchmark | None:
    """The benchmark whose records all samples carry, ``None`` if there is none."""
    for benchmark in BENCHMARKS:
        if all(benchmark.record(sample) is not None for sample in samples.values()):
            return benchmark
    return None


def _counts(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    return _numbers(records)


def _numbers(records: Mapping[Any, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    numbers = {
        document: {
            name: value for name, value in record.items() if isinstance(value, (int, float)) and name != "image_id"
        }
        for document, record in records.items()
    }
    return {**numbers}, {document: record["image_id"] for document, record in records.items()}


def _pairs(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    chosen = [record for record in records.values() if record["category"] in metric.subtasks]
    pairs = mme.pairs(chosen)
    return {**pairs}, {(subtask, image): image for subtask, image in pairs}


def _whole_pairs(records: Mapping[int, Record]) -> dict[int, Record]:
    whole = {id(record) for record in mme.whole_pairs(records.values())[0]}
    return {document: record for document, record in records.items() if id(record) in whole}


def _sets(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    sets = hallusion.sets(records.values())
    numbers = {key: {name: value for name, value in one.items() if isinstance(value, int)} for key, one in sets.items()}
    return {**numbers}, {key: key for key in numbers}


def _figure(record: Record, sample: Sample) -> Record:
    image = "{category}/{subcategory}/{set_id}_{figure_id}.png".format(**record)
    return {**_with_default(record, sample), "image_id": image}


def _with_default(record: Record, sample: Sample) -> Record:
    """The record with the count that older ones lack."""
    policy = record.get("policy")
    return {"by_default": int(policy is not None and yesno.by_default(sample.answer, str(policy))), **record}


def _column(record: Record) -> Unread | None:
    return "by default" if record.get("by_default") else "unparsed" if record["unparsed"] else None


def _prediction(record: Record) -> Unread | None:
    return "unparsed" if yesno.parse(record["prediction"], mme.POLICY) is None else None


def _rules(record: Record, sample: Sample) -> Record:
    return {**record, "rules": f"mode {record['mode']}, similarity {record['similarity']}"}


def _unparsed(sums: Mapping[str, Array]) -> Array:
    return sums["unparsed"]


def _by_default(sums: Mapping[str, Array]) -> Array:
    return sums["by_default"]


def _chair(records: Iterable[Record]) -> list[Metric]:
    table = chair.STATISTICS
    return [
        Metric("chair_s", "CHAIR_s", table["chair_s"], "lower", outcome="captions_hallucinated"),
        Metric("chair_i", "CHAIR_i", table["chair_i"], "lower"),
        Metric("recall", "recall", table["recall"], "higher"),
        Metric("precision", "precision", table["precision"], "higher", headline=False),
        Metric("f1", "F1", table["f1"], "higher", headline=False),
        Metric("mean_length", "mean length", table["mean_length"], None, "tokens"),
        Metric("mean_mentions", "mean mentions", table["mean_mentions"], None, "mentions", headline=False),
    ]


def _pope(records: Iterable[Record]) -> list[Metric]:
    table = pope.STATISTICS
    return [
        Metric("accuracy", "accuracy", table["accuracy"], "higher", outcome="correct"),
        Metric("precision", "precision", table["precision"], "higher", headline=False),
        Metric("recall", "recall", table["recall"], "higher", headline=False),
        Metric("f1", "F1", table["f1"], "higher"),
        Metric("yes_ratio", "yes ratio", table["yes_ratio"], None),
        Metric("unparsed_count", "unparsed", _unparsed, "lower", "answers", headline=False),
        Metric("by_default_count", "decided by default", _by_default, "lower", "answers", headline=False),
    ]


def _pope_group(tasks: Sequence[str]) -> list[Metric]:
    # The strategies share the questions that are answered yes, so even an accuracy is no proportion of independent
    # answers: it has no `outcome`, and its p value comes from the bootstrap.
    means = {name: strategies.mean(pope.STATISTICS[name], tasks) for name in ("f1", "accuracy", "yes_ratio")}
    return [
        Metric("f1", "mean F1", means["f1"], "higher"),
        Metric("f1_pooled", "pooled F1", pope.STATISTICS["f1"], "higher"),
        Metric("accuracy", "mean accuracy", means["accuracy"], "higher"),
        Metric("yes_ratio", "mean yes ratio", means["yes_ratio"], None),
    ]


def _by_strategy(records: Mapping[tuple[str, int], Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    pooled, images = _numbers(records)
    columns = ("questions", "correct", "true_positive", "predicted_yes", "labelled_yes")
    means = strategies.apart(pooled, columns)
    return {key: {**record, **means[key]} for key, record in pooled.items()}, images


def _mme(records: Iterable[Record]) -> list[Metric]:
    present = {record["category"] for record in records}
    groups = {
        **{name: (name,) for name in mme.HALLUCINATION},
        **{name: mme.TOTALS[name] for name in ("hallucination", "perception", "cognition")},
        **{name: (name,) for name in mme.SUBTASKS if name not in mme.HALLUCINATION},
    }
    return [
        Metric(
            name,
            name,
            mme.statistic(name),
            "higher",
            "points",
            headline=name in (*mme.HALLUCINATION, *mme.TOTALS),
            subtasks=subtasks,
        )
        for name, subtasks in groups.items()
        if present.issuperset(subtasks)
    ]


def _amber_generative(records: Iterable[Record]) -> list[Metric]:
    table = amber.STATISTICS
    return [
        Metric("chair", "CHAIR", table["chair"], "lower"),
        Metric("cover", "Cover", table["cover"], "higher"),
        # Blank responses are neither right nor wrong.
        Metric("hal", "Hal", table["hal"], "lower", outcome="responses_hallucinated", among="responses_answered"),
        Metric("cog", "Cog", table["cog"], "lower"),
        Metric("mean_length", "mean length", table["mean_length"], None, "tokens"),
    ]


def _amber_discriminative(records: Iterable[Record]) -> list[Metric]:
    table, listed = amber.STATISTICS, list(records)
    present = [group for group in amber.GROUPS if any(record[f"{group}.questions"] for record in listed)]
    return [
        Metric("accuracy", "accuracy", table["accuracy"], "higher", outcome="correct"),
        Metric("precision", "precision", table["precision"], "higher", headline=False),
        Metric("recall", "recall", table["recall"], "higher", headline=False),
        Metric("f1", "F1", table["f1"], "higher"),
        *(Metric(f"{group}_f1", f"{group} F1", table[f"{group}.f1"], "higher", headline=False) for group in present),
        Metric("unparsed_count", "unparsed", _unparsed, "lower", "answers", headline=False),
    ]


def _hallusion(records: Iterable[Record]) -> list[Metric]:
    table = hallusion.STATISTICS
    return [
        *(Metric(name, name, table[name], "higher") for name in ("aAcc", "qAcc", "fAcc")),
        Metric("easy_aAcc", "easy aAcc", table["easy_aAcc"], "higher", headline=False),
        Metric("hard_aAcc", "hard aAcc", table["hard_aAcc"], "higher", headline=False),
        Metric("unparsed_count", "unparsed", _unparsed, "lower", "answers", headline=False),
    ]


def _textvqa(records: Iterable[Record]) -> list[Metric]:
    return [Metric("accuracy", "accuracy", textvqa.STATISTICS["accuracy"], "higher")]


BENCHMARKS = (
    Benchmark(
        title="CHAIR",
        unit="percent, mean length in tokens",
        noun="captions",
        columns=frozenset({"image_id", "captions", "captions_hallucinated", "mentions", "hallucinated", "truth"}),
        image="image_id",
        rule="mode",
        metrics=_chair,
        documents=_counts,
    ),
    Benchmark(
        title="POPE",
        unit="percent",
        noun="questions",
        columns=frozenset({"image_id", "questions", "correct", "predicted_yes", "labelled_yes", "unparsed"}),
        image="image_id",
        rule="policy",
        metrics=_pope,
        documents=_counts,
        completed=_with_default,
        unread=_column,
        group=Group(_pope_group, _by_strategy),
    ),
    Benchmark(
        title="MME",
        unit="points",
        noun="questions",
        columns=frozenset({"image", "category", "answer", "prediction"}),
        image="image",
        rule=None,
        metrics=_mme,
        documents=_pairs,
        scored=_whole_pairs,
        unread=_prediction,
    ),
    Benchmark(
        title="AMBER generative",
        unit="percent, mean length in tokens",
        noun="responses",
        columns=frozenset({"image_id", "responses", "nouns", "hallucinated", "covered", "marked", "similarity"}),
        image="image_id",
        rule="rules",
        metrics=_amber_generative,
        documents=_counts,
        completed=_rules,
    ),
    Benchmark(
        title="AMBER discriminative",
        unit='percent, "no" is positive',
        noun="questions",
        columns=frozenset({"image_id", "questions", "correct", "predicted_no", "labelled_no", "relation.questions"}),
        image="image_id",
        rule="policy",
        metrics=_amber_discriminative,
        documents=_counts,
        unread=_column,
    ),
    Benchmark(
        title="HallusionBench",
        unit="percent",
        noun="questions",
        columns=frozenset({"category", "subcategory", "set_id", "figure_id", "question_id", "visual_input", "correct"}),
        image="image_id",
        rule="policy",
        metrics=_hallusion,
        documents=_sets,
        completed=_figure,
        unread=_column,
    ),
    Benchmark(
        title="TextVQA",
        unit="percent",
        noun="questions",
        columns=frozenset({"image_id", "questions", "tenths"}),
        image="image_id",
        rule=None,
        metrics=_textvqa,
        documents=_counts,
    ),
)
"""In the order in which their blocks are shown."""
