"""What ``hallu score --help`` says of each benchmark: what is scored, what the files hold, examples."""

from __future__ import annotations

EXAMPLES = """\
examples:
  hallu score chair --captions captions.jsonl --truth instances_val2014.json captions_val2014.json
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json
  hallu score opope --captions captions.jsonl --questions coco_pope_random.json
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
                                     the word yes or no anywhere; official reads "NO" and blank answers as yes

The questions must be those that the model was asked: random exists with 2,910 and with 3,000 questions.
"""
OPOPE = """\
Captions as answers to POPE's questions: an object that a caption names is a yes, any other a no.

A caption file is that of hallu score chair, the question files are POPE's on COCO images. Objects are found as CHAIR
finds them. That an object is not named says little, so F_0.2 leads, in which precision counts most.
"""
OPOPE_EXAMPLES = """\
examples:
  hallu score opope --captions captions.jsonl --questions coco_pope_random.json
  hallu score opope --captions captions.jsonl \\
      --questions coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json
                                     each strategy, their mean F_0.2, and all questions pooled

Every image of the questions needs a caption. Name the mode beside the number.
"""
MME = """\
Are both yes/no questions about an image answered right?

FOLDER holds <subtask>.txt files; a line is image, question, Yes or No, prediction, with tabs between them.
"""
MME_EXAMPLES = """\
examples:
  hallu score mme --results results/
  hallu score mme --results results/ --json

A subtask gives at most 200 points. A total is shown when all its subtasks are there; where one has not as many
questions as the benchmark, a note says so, and the total says of how many questions it is.
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
