"""``hallu score``: score the files of answers that other code wrote, without a model."""

from __future__ import annotations

import argparse
from typing import Any

from hallu_tasks import amber_files, answers, matching, pope_answers, score_report
from hallu_tasks.estimates import (
    Bootstrap,
    Result,
    amber_answers,
    amber_descriptions,
    chair_scores,
    mme_scores,
    pope_scores,
)
from hallu_tasks.scoring import amber, chair, yesno

__all__ = ["arguments", "run"]

EXAMPLES = """\
examples:
  hallu score chair --captions captions.jsonl --truth instances_val2014.json captions_val2014.json
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json
  hallu score mme --results results/
  hallu score amber --responses responses.json --data AMBER/data

Each benchmark has its own help: hallu score chair --help
"""
CHAIR = """\
Which objects do the captions name, and how many of them are not in the image?

A line of FILE is {"image_id": 310196, "caption": "A dog ..."}; a JSON list of such objects is read too, and
"COCO_val2014_000000310196.jpg" stands for the number. The truth comes from COCO's annotation files; what was read from
them is kept in $HALLU_CACHE (default ~/.cache/hallu), so the second time is quick.
"""
CHAIR_EXAMPLES = """\
examples:
  hallu score chair --captions captions.jsonl --truth instances_val2014.json captions_val2014.json
  hallu score chair --captions llava.jsonl --image-key image --caption-key text --truth ...
                                     other names for the two keys
  hallu score chair --captions captions.jsonl --mode nltk --truth ...
                                     as OPERA counts; reference is the original's rule
  hallu score chair --captions captions.jsonl --truth ... --json
                                     unrounded, for programs

Name the mode beside the number, and compare lengths first: shorter captions hallucinate less.
"""
POPE = """\
Are yes/no questions about objects answered right? "Yes" is the positive class.

A line of an answer file is {"question_id": 1, "text": "Yes"}, best with the question under "prompt", or
{"question": "Is there ...?", "answer": "Yes"}, best with "question_id". The lines may be in any order: answers are
matched by id and text. Without an id, a file must ask no text twice or keep the order of the questions.
"""
POPE_EXAMPLES = """\
examples:
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json
  hallu score pope --answers random.jsonl popular.jsonl adversarial.jsonl \\
      --questions coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json
                                     each strategy, their mean F1, and all questions pooled
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json --policy words
                                     the word yes or no anywhere; official reads "NO" as yes

The questions must be those that the model was asked: random exists with 2,910 and with 3,000 questions.
"""
MME = """\
Are both yes/no questions about an image answered right?

FOLDER holds <subtask>.txt files; a line is image, question, Yes or No, prediction, with tabs between them.
"""
MME_EXAMPLES = """\
examples:
  hallu score mme --results results/
  hallu score mme --results results/ --json

A subtask gives at most 200 points. A total is shown when all its subtasks are there.
"""
AMBER = """\
What do descriptions invent and leave out, and are yes/no questions answered right? "No" is the positive class.

FILE is a JSON list of {"id": 1, "response": "A dog ..."}; JSONL is read too. Ids 1 to 1004 are images to describe, the
others questions; the annotations tell them apart, and a file may hold either or both. The data are those of AMBER's
repository: its folder data, or single files of it.
"""
AMBER_EXAMPLES = """\
examples:
  hallu score amber --responses responses.json --data AMBER/data
  hallu score amber --responses responses.json --data AMBER/data --mode nltk --similarity spacy
                                     as the official script; needs NLTK's data and spaCy's vectors
  hallu score amber --responses answers.json --annotations annotations.json --queries query_all.json
                                     answers alone; the queries name the image of each question
  hallu score amber --responses answers.json --data AMBER/data --policy official
                                     only "Yes" and "No" are answers; words reads "No, it is red." too

Two questions in three have the answer no: always saying so is an F1 of 79.7, which stands beside every F1.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu score``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    kinds = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)

    def kind(name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        return kinds.add_parser(name, help=summary, description=description, epilog=epilog, formatter_class=form)

    sub = kind("chair", "captions against COCO's annotations", CHAIR, CHAIR_EXAMPLES)
    sub.add_argument("--captions", metavar="FILE", required=True, help="the captions, JSON list or JSONL")
    sub.add_argument(
        "--truth",
        metavar=("INSTANCES", "CAPTIONS"),
        nargs=2,
        required=True,
        help="instances_val2014.json and captions_val2014.json",
    )
    sub.add_argument(
        "--mode", choices=chair.MODES, default="reference", help="how plurals are read (default: reference)"
    )
    sub.add_argument("--image-key", metavar="KEY", default="image_id", help="key of the image id (default: image_id)")
    sub.add_argument("--caption-key", metavar="KEY", default="caption", help="key of the caption (default: caption)")
    sub.add_argument(
        "--allow-empty-truth",
        action="store_true",
        help="score captions of images without any object: every mention is hallucinated",
    )
    _common(sub)
    sub = kind("pope", "yes/no answers against POPE's question files", POPE, POPE_EXAMPLES)
    sub.add_argument("--answers", metavar="FILE", nargs="+", required=True, help="the answers, one file a strategy")
    sub.add_argument(
        "--questions", metavar="FILE", nargs="+", required=True, help="the question files, in the order of the answers"
    )
    sub.add_argument(
        "--policy", choices=yesno.POLICIES, default="official", help="how an answer is read (default: official)"
    )
    _common(sub)
    sub = kind("mme", "MME's folder of results", MME, MME_EXAMPLES)
    sub.add_argument("--results", metavar="FOLDER", required=True, help="folder of <subtask>.txt files")
    _common(sub)
    sub = kind("amber", "descriptions and yes/no answers against AMBER's annotations", AMBER, AMBER_EXAMPLES)
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


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """``hallu score BENCHMARK``. Raises `ValueError` as the readers do, and when a mode's data are missing."""
    if given.seed < 0:
        raise ValueError(f"--seed {given.seed}: a whole number of at least 0, e.g. --seed 0")
    bootstrap = Bootstrap(given.resamples, given.seed)
    result = {"chair": _chair, "pope": _pope, "mme": _mme, "amber": _amber}[given.benchmark](given, bootstrap)
    settings = {"confidence": 95.0, "resamples": given.resamples, "seed": given.seed}
    print(score_report.as_json({**result, **settings}) if given.json else score_report.as_text(result))
    return 0


def _chair(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    try:
        chair.check(given.mode)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
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
        notes += matching.caution(own, answered, source)
        asked += questions.values()
    files = {"answers": given.answers, "questions": given.questions}
    return {"benchmark": "POPE", "files": files, "notes": notes, **pope_scores(said, asked, given.policy, bootstrap)}


def _mme(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    records = answers.mme_results(given.results)
    files = {"results": [given.results]}
    return {"benchmark": "MME", "files": files, "notes": [], **mme_scores(records, bootstrap)}


def _amber(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    data = amber_files.located(given.data, given.annotations, given.relation, given.safe_words, given.queries)
    responses = amber_files.read_responses(given.responses)
    annotated = amber_files.read_annotations(data.annotations)
    described, answered = amber_files.divided(responses, annotated, data.annotations)
    files = {"responses": [given.responses], "annotations": [data.annotations]}
    notes: list[str] = []
    halves: dict[str, Result | None] = {"generative": None, "discriminative": None}
    if described:
        try:
            amber.check(given.mode, given.similarity)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
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
        halves["discriminative"] = {
            **amber_answers(answered, annotated.questions, images, given.policy, bootstrap),
            "questions_annotated_count": len(annotated.questions),
        }
        notes += _unfinished(len(answered), len(annotated.questions), "questions are answered")
    return {"benchmark": "AMBER", "files": files, "notes": notes, **halves}


def _unfinished(found: int, every: int, what: str) -> list[str]:
    return [f"{found} of {every} {what}; published numbers are over all of them"] if found < every else []
