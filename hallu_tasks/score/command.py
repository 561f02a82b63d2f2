"""``hallu score``: score the files of answers that other code wrote, without a model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hallu_tasks.amber import answers as amber_files
from hallu_tasks.chair import answers
from hallu_tasks.estimates.bootstrap import (
    Bootstrap,
    Result,
    amber_answers,
    amber_descriptions,
    chair_scores,
    mme_scores,
    opope_scores,
    pope_scores,
)
from hallu_tasks.mme.data import COUNTS
from hallu_tasks.pope import answers as pope_answers
from hallu_tasks.pope import matching
from hallu_tasks.score import help as score_help
from hallu_tasks.score import report as score_report
from hallu_tasks.scoring import amber, chair, opope, yesno
from hallu_tasks.scoring.keyed import name_some, repeated

__all__ = ["arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu score``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = score_help.EXAMPLES
    kinds = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)

    def kind(name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        return kinds.add_parser(name, help=summary, description=description, epilog=epilog, formatter_class=form)

    sub = kind("chair", "captions against COCO's annotations", score_help.CHAIR, score_help.CHAIR_EXAMPLES)
    _captions(sub)
    sub.add_argument(
        "--truth",
        metavar=("INSTANCES", "CAPTIONS"),
        nargs=2,
        required=True,
        help="instances_val2014.json and captions_val2014.json",
    )
    sub.add_argument(
        "--allow-empty-truth",
        action="store_true",
        help="score captions of images without any object: every mention is hallucinated",
    )
    _common(sub)
    sub = kind("pope", "yes/no answers against POPE's question files", score_help.POPE, score_help.POPE_EXAMPLES)
    sub.add_argument("--answers", metavar="FILE", nargs="+", required=True, help="the answers, one file a strategy")
    sub.add_argument(
        "--questions", metavar="FILE", nargs="+", required=True, help="the question files, in the order of the answers"
    )
    sub.add_argument(
        "--policy", choices=yesno.POLICIES, default="official", help="how an answer is read (default: official)"
    )
    _common(sub)
    sub = kind("opope", "captions as answers to POPE's questions", score_help.OPOPE, score_help.OPOPE_EXAMPLES)
    _captions(sub)
    sub.add_argument("--questions", metavar="FILE", nargs="+", required=True, help="POPE's question files on COCO")
    _common(sub)
    sub = kind("mme", "MME's folder of results", score_help.MME, score_help.MME_EXAMPLES)
    sub.add_argument("--results", metavar="FOLDER", required=True, help="folder of <subtask>.txt files")
    _common(sub)
    sub = kind(
        "amber",
        "descriptions and yes/no answers against AMBER's annotations",
        score_help.AMBER,
        score_help.AMBER_EXAMPLES,
    )
    sub.add_argument("--responses", metavar="FILE", required=True, help="the responses, JSON list or JSONL")
    sub.add_argument("--data", metavar="FOLDER", help="AMBER's data folder, in place of the next four")
    sub.add_argument("--annotations", metavar="FILE", help="annotations.json")
    sub.add_argument("--relation", metavar="FILE", help="relation.json, for descriptions")
    sub.add_argument("--safe-words", metavar="FILE", help="safe_words.txt, for descriptions")
    sub.add_argument("--queries", metavar="FILE", help="query_all.json, for the intervals of answers")
    sub.add_argument(
        "--mode",
        choices=amber.MODES,
        default="reference",
        help="how nouns are found (default: reference, which needs no data)",
    )
    sub.add_argument(
        "--similarity",
        choices=amber.SIMILARITIES,
        default="none",
        help="whether a noun that means the same as a true word is right (default: none)",
    )
    sub.add_argument("--policy", choices=amber.POLICIES, default="words", help="how an answer is read (default: words)")
    _common(sub)


def _captions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--captions", metavar="FILE", required=True, help="the captions, JSON list or JSONL")
    parser.add_argument("--image-key", metavar="KEY", default="image_id", help="key of the image (default: image_id)")
    parser.add_argument("--caption-key", metavar="KEY", default="caption", help="key of the caption (default: caption)")
    parser.add_argument(
        "--mode", choices=chair.MODES, default="reference", help="how plurals are read (default: reference)"
    )


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """``hallu score BENCHMARK``. Raises `ValueError` as the readers do, and when a mode's data are missing."""
    if given.seed < 0:
        raise ValueError(f"--seed {given.seed}: a whole number of at least 0, e.g. --seed 0")
    bootstrap = Bootstrap(given.resamples, given.seed)
    scorers = {"chair": _chair, "pope": _pope, "opope": _opope, "mme": _mme, "amber": _amber}
    result = {"warnings": [], **scorers[given.benchmark](given, bootstrap)}
    settings = {"confidence": 95.0, "resamples": given.resamples, "seed": given.seed}
    print(score_report.as_json({**result, **settings}) if given.json else score_report.as_text(result))
    return 0


def _checked(check: Callable[..., None], *rules: str) -> None:
    """Call a scorer's check of the data that a rule needs; `ValueError` with the command that installs them."""
    try:
        check(*rules)
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _chair(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    _checked(chair.check, given.mode)
    captions = answers.captions(given.captions, given.image_key, given.caption_key)
    instances, sentences = given.truth
    truth = answers.truth(instances, sentences, given.mode)
    answers.check_truth(captions, truth, instances, given.allow_empty_truth)
    texts = {image: caption.text for image, caption in captions.items()}
    files = {"captions": [given.captions], "truth": given.truth}
    empty = sum(not truth[image] for image in captions)
    notes = [f"{empty} captions are of images without any object; all their mentions are hallucinated"] if empty else []
    return {"benchmark": "CHAIR", "files": files, "notes": notes, **chair_scores(texts, truth, given.mode, bootstrap)}


def _pope(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    said: dict[Any, str] = {}
    asked: list[pope_answers.Question] = []
    notes: list[str] = []
    for strategy, answered, source in matching.pairs(given.answers, given.questions):
        questions = pope_answers.questions(source, strategy)
        own = pope_answers.answers(answered)
        said |= matching.matched(own, questions, answered, source)
        notes += [*matching.caution(own, answered, source), *_blank(own, answered, given.policy)]
        asked += questions.values()
    files = {"answers": given.answers, "questions": given.questions}
    result = pope_scores(said, asked, given.policy, bootstrap)
    warnings, unread = _unread(result["pooled"], given.policy)
    return {"benchmark": "POPE", "files": files, "warnings": warnings, "notes": [*unread, *notes], **result}


def _unread(counts: Mapping[str, Any], policy: str) -> tuple[list[str], list[str]]:
    """Warnings and notes on answers that are neither yes nor no to the policy."""
    every = counts["questions_count"]
    found = [
        yesno.caution({"answers": (counts.get("by_default_count", 0), every)}, policy, default=True),
        yesno.caution({"answers": (counts["unparsed_count"], every)}, policy, default=False),
    ]
    said = [one for one in found if one]
    return [text for loud, text in said if loud], [text for loud, text in said if not loud]


def _blank(given: Sequence[pope_answers.Answer], answered: str, policy: str) -> list[str]:
    blank = sum(not answer.text.strip() for answer in given)
    if not blank:
        return []
    read = yesno.parse("", policy)
    what = "cannot read them" if read is None else f"reads them as {read}"
    return [f"{blank} of {len(given)} answers of {answered} are blank; policy {policy} {what}"]


def _opope(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    _checked(chair.check, given.mode)
    captions = answers.captions(given.captions, given.image_key, given.caption_key)
    if twice := repeated(given.questions):
        raise ValueError(f"files given twice: {name_some(twice)}; give each once")
    asked = [
        question
        for strategy, source in zip(matching.strategies(given.questions), given.questions)
        for question in pope_answers.questions(source, strategy).values()
    ]
    for question in asked:
        try:
            opope.asked(question.key[2])
        except ValueError as error:
            raise ValueError(f"{question.place}: {error}") from None
    if silent := [question for question in asked if question.image not in captions]:
        raise ValueError(
            f"{len(silent)} of {len(asked)} questions are about images that {given.captions} does not describe (first "
            f"{silent[0].place}: image {silent[0].image!r}); caption every image of the questions"
        )
    texts = {image: caption.text for image, caption in captions.items()}
    files = {"captions": [given.captions], "questions": given.questions}
    return {"benchmark": "OPOPE", "files": files, "notes": [], **opope_scores(texts, asked, given.mode, bootstrap)}


def _mme(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    records = answers.mme_results(given.results)
    files = {"results": [given.results]}
    result = mme_scores(records, bootstrap)
    for name, subtask in result["subtasks"].items():
        subtask["questions_official_count"] = COUNTS[name]
    odd = [
        f"{name}: {result['subtasks'][name]['questions_count']} of {COUNTS[name]}"
        for name in result["subtasks_present"]
        if result["subtasks"][name]["questions_count"] != COUNTS[name]
    ]
    notes = (
        [f"published numbers are over all questions; {len(odd)} subtasks have others, first {odd[0]}"] if odd else []
    )
    warnings, unread = _unread(result, result["policy"])
    return {"benchmark": "MME", "files": files, "warnings": warnings, "notes": [*unread, *notes], **result}


def _amber(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    data = amber_files.located(given.data, given.annotations, given.relation, given.safe_words, given.queries)
    responses = amber_files.read_responses(given.responses)
    annotated = amber_files.read_annotations(data.annotations)
    described, answered = amber_files.divided(responses, annotated, data.annotations)
    files = {"responses": [given.responses], "annotations": [data.annotations]}
    notes: list[str] = []
    warnings: list[str] = []
    halves: dict[str, Result | None] = {"generative": None, "discriminative": None}
    if described:
        _checked(amber.check, given.mode, given.similarity)
        vocabulary = amber_files.read_vocabulary(data)
        files["vocabulary"] = [str(data.relation), str(data.safe_words)]
        halves["generative"] = {
            **amber_descriptions(described, annotated.scenes, vocabulary, given.mode, given.similarity, bootstrap),
            "images_annotated_count": len(annotated.scenes),
        }
        notes += _unfinished(len(described), len(annotated.scenes), "images are described")
    if answered:
        images = None if data.queries is None else amber_files.read_images(data.queries, answered)
        if data.queries is None:
            notes.append("no intervals for the answers; --queries names the image of each question")
        else:
            files["queries"] = [data.queries]
        scored = amber_answers(answered, annotated.questions, images, given.policy, bootstrap)
        halves["discriminative"] = {
            **scored,
            "questions_annotated_count": len(annotated.questions),
        }
        notes += _unfinished(len(answered), len(annotated.questions), "questions are answered")
        warnings, unread = _unread(scored, given.policy)
        notes += unread
    return {"benchmark": "AMBER", "files": files, "warnings": warnings, "notes": notes, **halves}


def _unfinished(found: int, every: int, what: str) -> list[str]:
    return [f"{found} of {every} {what}; published numbers are over all of them"] if found < every else []
