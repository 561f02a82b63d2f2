"""CHAIR's records and metrics, and the words it counts as hallucinated."""

from __future__ import annotations

from collections.abc import Iterable

from hallu_tasks.benchmark import FLAG, Benchmark, Cuts, Metric, PerSample, Record, Span, counts
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import chair
from hallu_tasks.scoring.frontier import Outcome, outcomes

__all__ = ["CHAIR"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
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


def _marked(sample: Sample) -> list[Span]:
    """The words of hallucinated objects, by the record's mode; for ``nltk``, which gives no places, the reference's."""
    record = next((one for one in sample.records.values() if "hallucinated_objects" in one), None)
    if not record or not record["hallucinated_objects"]:
        return []
    mode = record.get("mode")
    wrong = set(record["hallucinated_objects"])
    found = chair.mentions(sample.answer, mode if mode == "fixed" else "reference")
    return [(mention.start, mention.end, mention.category) for mention in found if mention.category in wrong]


def _said(sample: Sample) -> list[Outcome] | None:
    record = next((one for one in sample.records.values() if "hallucinated_objects" in one), None)
    if record is None or "objects" not in record:
        return None
    named, wrong = record["objects"], record["hallucinated_objects"]
    if all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in (named, wrong)):
        found = outcomes(named, wrong)
        if tuple(map(sum, zip((0, 0), *found))) == (record["hallucinated"], record["correct"]):
            return found
    raise ValueError(
        f"{sample.place}: objects and hallucinated_objects are not the names that the record counts; it was edited or "
        "damaged, so rerun lmms-eval"
    )


CUTS = Cuts(
    said=_said,
    below="chair_i",
    chair_i=Metric("chair_i_vs_cut", "CHAIR_i vs cut", chair.STATISTICS["chair_i"], "lower"),
    chair_s=Metric("chair_s_vs_cut", "CHAIR_s vs cut", chair.STATISTICS["chair_s"], "lower", headline=False),
    rate=Metric("chair_i_rate_ratio", "length-adjusted", chair.STATISTICS["chair_i"], "lower", "ratio"),
)

CHAIR = Benchmark(
    id="chair",
    title="CHAIR",
    unit="percent, mean length in tokens",
    noun="captions",
    columns=frozenset({"image_id", "captions", "captions_hallucinated", "mentions", "hallucinated", "truth"}),
    image="image_id",
    rule="mode",
    metrics=_metrics,
    documents=counts,
    allowed={"captions": (1,), "captions_hallucinated": FLAG, "mode": chair.MODES},
    right=lambda record: not record["captions_hallucinated"],
    per_sample=PerSample(lambda record: "chair_s", lambda record: float(record["captions_hallucinated"]), best=0.0),
    marked=_marked,
    cuts=CUTS,
)
