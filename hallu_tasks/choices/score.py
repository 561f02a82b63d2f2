"""``hallu score`` of multiple-choice answers: JSONL with the question's number and the answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.choices.question import Question
from hallu_tasks.estimates.bootstrap import Bootstrap, Result
from hallu_tasks.estimates.layout import cell, estimated, label, reasons, table
from hallu_tasks.estimates.scorer import Scorer, unread
from hallu_tasks.files import rows
from hallu_tasks.scoring import choices
from hallu_tasks.scoring.choices import Sets
from hallu_tasks.scoring.keyed import name_some

__all__ = ["Form"]


@dataclass(frozen=True)
class Form:
    """How a benchmark's answers are scored: its questions, the field of the answer, and the policy of its own code.

    `file` is the official name of the question file, `read` its reader.
    """

    benchmark: Benchmark
    sets: Sets
    file: str
    read: Callable[[str], Sequence[Question]]
    field: str
    policy: str

    def scorer(self, summary: str, description: str) -> Scorer:
        """The command ``hallu score``, called as the benchmark's id."""
        line = f"hallu score {self.benchmark.id} --answers answers.jsonl --questions {self.file}"
        return Scorer(
            name=self.benchmark.id,
            title=self.benchmark.title,
            summary=summary,
            description=description,
            example=line,
            examples=f"examples:\n  {line}\n",
            arguments=self._arguments,
            score=self._score,
            lines=self._lines,
        )

    def _arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--answers", metavar="FILE", required=True, help="the answers")
        parser.add_argument("--questions", metavar="FILE", required=True, help=self.file)
        parser.add_argument(
            "--policy",
            choices=choices.POLICIES,
            default=self.policy,
            help=f"how the letter is read (default: {self.policy})",
        )

    def _score(self, given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
        asked = {question.number: question for question in self.read(given.questions)}
        said = self._said(given, asked)
        records = {}
        for number, question in enumerate(asked.values()):
            answer = said[question.number]
            found = self.sets.record(answer, question.answer, question.options, question.place, given.policy)
            records[number] = {"image_id": question.image, **found}
        result = self.sets.aggregate(records.values())
        warnings, notes = unread(result, given.policy)
        metrics = [one for one in self.benchmark.metrics(records.values()) if not one.name.endswith("_count")]
        return {
            "files": {"answers": [given.answers], "questions": [given.questions]},
            "warnings": warnings,
            "notes": notes,
            **result,
            **{one.name: bootstrap.score(one, *self.benchmark.documents(one, records)) for one in metrics},
        }

    def _said(self, given: argparse.Namespace, asked: dict[str, Question]) -> dict[str, str]:
        wanted = f'give a JSON list or JSONL of {{"question_id": ..., "{self.field}": "A"}}'
        said: dict[str, str] = {}
        for row in rows.read(given.answers, wanted):
            number = str(row.get("question_id", wanted))
            if number not in asked:
                raise ValueError(f"{row.place}: question {number} is not in {given.questions}; {wanted}")
            if number in said:
                raise ValueError(f"{row.place}: question {number} is answered twice; keep one answer")
            said[number] = row.words(self.field, wanted)
        if silent := [number for number in asked if number not in said]:
            raise ValueError(
                f"{given.answers} answers {len(said):,} of {len(asked):,} questions (not {name_some(silent, 3)}); a "
                "part of the questions is another benchmark"
            )
        return said

    def _lines(self, result: Result) -> list[str]:
        found = estimated(result)
        return [
            f"{self.benchmark.title} in percent; policy {result['policy']}; {result['questions_count']} questions in "
            f"{result['sets_count']} sets of {self.sets.size}",
            *table([[label(score), cell(score)] for score in found]),
            *reasons("", found),
        ]
