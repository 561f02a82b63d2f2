"""What a benchmark says of itself: its metrics in reading order, their direction, what is resampled, what is right."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.frontier import Outcome
from hallu_tasks.scoring.paired import NOTHING
from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.units import Array, Statistic
from hallu_tasks.scoring.yesno import YesNo

__all__ = [
    "FLAG",
    "Benchmark",
    "Cuts",
    "Direction",
    "Discrimination",
    "Group",
    "Metric",
    "PerSample",
    "Record",
    "Rescored",
    "Span",
    "by_default",
    "correct",
    "counts",
    "label_of",
    "numbers",
    "said_in",
    "unparsed",
    "unread",
    "with_default",
]

Record = Mapping[str, Any]
Direction = Literal["higher", "lower"]
Unread = Literal["by default", "unparsed"]

Span = tuple[int, int, str]
"""Start and end in a text, and the category it names."""


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
class Cuts:
    """The rows that compare an arm with the baseline's own texts cut short, see `hallu_tasks.scoring.frontier`.

    `said` gives the outcomes of a text's mentions, ``None`` where its records do not list them, and raises `ValueError`
    for records that were edited. The rows stand below the metric that is called `below`.
    """

    said: Callable[[Sample], list[Outcome] | None]
    below: str
    chair_i: Metric
    chair_s: Metric
    rate: Metric


@dataclass(frozen=True)
class Rescored:
    """The same answers under other labels, as a task `kind` of its own.

    `name` is that of the task or group with these labels, ``None`` for one that has none. `labels` are a task's, by
    what `asked` finds in a record and its sample; ``None`` where the user has none; it raises `ValueError` for files
    that are not right. `record` is a sample's under its label.
    """

    kind: Benchmark
    name: Callable[[str], str | None]
    labels: Callable[[str], Mapping[Hashable, str] | None]
    asked: Callable[[Record, Sample], Hashable]
    record: Callable[[Record, Sample, str], Record]


@dataclass(frozen=True)
class Discrimination:
    """What yes/no questions are compared by without the threshold, see `hallu_tasks.scoring.margins`.

    `label` is a record's right answer and `says` the one that was read, ``None`` where none was. `unit` is what is
    resampled, `positive` the answer that F1 is of, and `moved` the metrics whose change a moved threshold may explain.
    """

    label: Callable[[Record, Sample], YesNo]
    says: Callable[[Record, Sample], YesNo | None]
    moved: tuple[str, ...]
    unit: Callable[[Record], Hashable] = lambda record: record["image_id"]  # type: ignore[no-any-return]
    positive: YesNo = "yes"


@dataclass(frozen=True)
class PerSample:
    """The metric that one document decides most directly: its name, the document's score, and the best one."""

    metric: Callable[[Record], str]
    score: Callable[[Record], float]
    best: float = 1.0


@dataclass(frozen=True)
class Benchmark:
    """A kind of task, recognised by the columns of its records, and by `lacks`, those of another kind that it has not.

    `id` names it in code, `title` on the screen.
    `rule` is the field that names the scorer's rule, `image` the one that holds the image. `metrics` gives
    the rows for a task's records, and `documents` what `paired` takes: records and units by the same keys.
    `right` says whether a record is that of a right answer.
    """

    id: str
    title: str
    unit: str
    noun: str
    columns: frozenset[str]
    image: str
    rule: str | None
    metrics: Callable[[Iterable[Record]], list[Metric]]
    documents: Callable[[Metric, Mapping[int, Record]], tuple[dict[Any, Record], dict[Any, Hashable]]]
    right: Callable[[Record], bool]
    per_sample: PerSample
    lacks: frozenset[str] = frozenset()
    scored: Callable[[Mapping[int, Record]], Mapping[int, Record]] = dict
    """The records that count: a limited run may end in the middle of what is scored together."""
    completed: Callable[[Record, Sample], Record] = lambda record, sample: record
    """Adds what records hold in several parts, or what older ones lack."""
    unread: Callable[[Record], Unread | None] | None = None
    """For yes/no answers: how the policy failed to find a yes or a no."""
    policy: str = ""
    """For yes/no answers whose records name no rule: the one they are read by."""
    subtask: str = ""
    """The field that names the subtask, where names of images begin anew in every subtask."""
    marked: Callable[[Sample], list[Span]] = lambda sample: []
    """The words of a text that its record counts as hallucinated."""
    group: Group | None = None
    cuts: Cuts | None = None
    """For captions: how an arm is compared with the baseline's cut short."""
    discrimination: Discrimination | None = None
    rescored: Rescored | None = None
    """The other labels under which the same answers can be scored again."""
    guard: bool = False
    """Whether it measures what a method must not harm; such are shown last."""
    resampled: str = "image"
    """What is resampled and counted for a verdict."""
    allowed: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values of fields that take few."""

    def record(self, sample: Sample) -> Record | None:
        """The sample's record, ``None`` when it is not one of this benchmark."""
        found = self.written(sample)
        return None if found is None else self.completed(found, sample)

    def written(self, sample: Sample) -> Record | None:
        """The record as it stands in the file."""
        own = (record for record in sample.records.values() if self.columns <= record.keys())
        return next((record for record in own if self.lacks.isdisjoint(record)), None)


# What benchmarks share

FLAG = (0, 1)
"""For `Benchmark.allowed`."""


def counts(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    """For `Benchmark.documents`: the records' numbers, and their images as units, whatever the metric."""
    return numbers(records)


def numbers(records: Mapping[Any, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    """The numbers of each record, and its image."""
    found = {
        document: {
            name: value for name, value in record.items() if isinstance(value, (int, float)) and name != "image_id"
        }
        for document, record in records.items()
    }
    return {**found}, {document: record["image_id"] for document, record in records.items()}


def correct(record: Record) -> bool:
    """For `Benchmark.right`: the column ``correct``."""
    return bool(record["correct"])


# What yes/no benchmarks share


def unread(record: Record) -> Unread | None:
    """For `Benchmark.unread`: the columns ``by_default`` and ``unparsed``."""
    return "by default" if record.get("by_default") else "unparsed" if record["unparsed"] else None


def label_of(record: Record, sample: Sample) -> YesNo:
    """For `Discrimination.label`: the column ``labelled_yes``."""
    return "yes" if record["labelled_yes"] else "no"


def said_in(record: Record, sample: Sample) -> YesNo | None:
    """For `Discrimination.says`: the columns ``unparsed`` and ``predicted_yes``."""
    return None if record["unparsed"] else "yes" if record["predicted_yes"] else "no"


def with_default(record: Record, sample: Sample) -> Record:
    """The record with the count that older ones lack."""
    policy = record.get("policy")
    return {"by_default": int(policy is not None and yesno.by_default(sample.answer, str(policy))), **record}


def unparsed(sums: Mapping[str, Array]) -> Array:
    """A statistic: how many answers are neither yes nor no."""
    return sums["unparsed"]


def by_default(sums: Mapping[str, Array]) -> Array:
    """A statistic: how many answers the policy decided by its default."""
    return sums["by_default"]
