"""Writes small data sets in the formats of the official archives, with their counts, for tests.

Images are the demo model's held-out scenes, so that the demo model has something to say about them, and the truth is
what was drawn. Every function fills a data folder, the value of ``HALLU_DATA``, and returns it.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hallu_tasks.amber import data as amber_data
from hallu_tasks.chair import data as coco_data
from hallu_tasks.crpe import data as crpe_data
from hallu_tasks.dash_b import data as dash_b_data
from hallu_tasks.demo import task as demo
from hallu_tasks.mme import data as mme_data
from hallu_tasks.mmvp import data as mmvp_data
from hallu_tasks.pope import data as pope_data
from hallu_tasks.pope import relabelled
from hallu_tasks.scoring import vocabulary

STRATEGIES = ("random", "popular", "adversarial")


def scene(number: int) -> dict[str, Any]:
    """A held-out scene by any whole number."""
    listed = list(demo.scenes().values())
    return listed[number % len(listed)]


class Pictures:
    """Writes scenes as image files; a scene is written once and linked (hard) from then on."""

    def __init__(self) -> None:
        self._written: dict[int, Path] = {}

    def write(self, path: Path, number: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = scene(number)["image_id"]
        if key in self._written:
            os.link(self._written[key], path)
        else:
            path.write_bytes(scene(number)["image"]["bytes"])
            self._written[key] = path


def coco_ids() -> list[int]:
    """As many ids as val2014 has, with gaps, as there."""
    return [42 + 14 * number for number in range(coco_data.IMAGES)]


def coco_name(image: int) -> str:
    return f"COCO_val2014_{image:012d}.jpg"


def coco(folder: Path) -> Path:
    """Annotations of 40,504 images, and the images of the five lists."""
    ids = coco_ids()
    names = sorted(vocabulary.coco().categories)
    numbers = {name: 1 + place + place // 9 for place, name in enumerate(names)}
    images = [{"id": image, "file_name": coco_name(image), "height": 64, "width": 64} for image in ids]
    listed = sorted(set(itertools.chain(*(coco_data.sample(ids, seed) for seed in coco_data.SEEDS))))
    instances = [
        {"image_id": image, "category_id": numbers[name], "iscrowd": 0, "bbox": [0, 0, 8, 8], "id": image * 100 + place}
        for image in listed
        for place, name in enumerate(scene(image)["objects"])
    ]
    captions = [{"image_id": image, "id": image, "caption": "A picture of something."} for image in ids]
    categories = [{"id": numbers[name], "name": name, "supercategory": "thing"} for name in names]
    place = folder / "coco" / "annotations"
    place.mkdir(parents=True)
    content = {"images": images, "annotations": instances, "categories": categories}
    (place / "instances_val2014.json").write_text(json.dumps(content))
    (place / "captions_val2014.json").write_text(json.dumps({"images": images, "annotations": captions}))
    pictures = Pictures()
    for image in listed:
        pictures.write(folder / "coco" / "val2014" / coco_name(image), image)
    return folder


def pope_rows(strategy: str, names: list[str]) -> list[dict[str, Any]]:
    """3,000 questions on 500 images: three objects that are there and three that are not, in turn."""
    rng = random.Random(strategy)
    objects = sorted(vocabulary.coco().categories)
    rows = []
    for number, name in enumerate(names):
        there = list(scene(number)["objects"])
        true = [there[place % len(there)] for place in range(3)]
        false = rng.sample([one for one in objects if one not in there], 3)
        for yes, no in zip(true, false):
            for label, thing in (("yes", yes), ("no", no)):
                article = "an" if thing[0] in "aeiou" else "a"
                text = f"Is there {article} {thing} in the image?"
                rows.append({"question_id": len(rows) + 1, "image": name, "text": text, "label": label})
    return rows


def pope(folder: Path, source: str = "coco") -> Path:
    """The three question files of an image source, where the official repository has them, and the images."""
    if source == "gqa":
        names, place = [f"{2_000_000 + number}.jpg" for number in range(500)], folder / "gqa" / "images"
    else:
        ids = coco_ids()[-500:] if source == "coco" else coco_ids()[-1000:-500]
        names, place = [coco_name(image) for image in ids], folder / "coco" / "val2014"
    files = folder / "pope" / "output" / ("coco" if source == "coco" else f"seem/{source}")
    files.mkdir(parents=True, exist_ok=True)
    for strategy in STRATEGIES:
        rows = pope_rows(strategy, names)
        name = pope_data.FILES[source].format(strategy)
        # COCO's files have an object a line, the other two are one array.
        text = "\n".join(map(json.dumps, rows)) if source == "coco" else json.dumps(rows, indent=4)
        (files / name).write_text(text)
    pictures = Pictures()
    for number, name in enumerate(names):
        if not (place / name).exists():
            pictures.write(place / name, number)
    return folder


def repope(folder: Path) -> Path:
    """RePOPE's files beside POPE's: the last questions left out, and 40 of the others with the other label."""
    names = [coco_name(image) for image in coco_ids()[-500:]]
    files = folder / "repope" / "annotations"
    files.mkdir(parents=True)
    for strategy, count in relabelled.COUNTS.items():
        rows = pope_rows(strategy, names)[:count]
        for row in rows[:40]:
            row["label"] = {"yes": "no", "no": "yes"}[row["label"]]
        (files / relabelled.FILE.format(strategy)).write_text("\n".join(map(json.dumps, rows)) + "\n")
    return folder


def dash_b(folder: Path) -> Path:
    """Both lists and their images, as the official repository has them."""
    pictures = Pictures()
    place = folder / "dash_b" / "images"
    for number, file in enumerate(dash_b_data.FILES.values()):
        things = {
            thing: [f"{at}.jpg" for at in range(part, dash_b_data.COUNT, 3)]
            for part, thing in enumerate(("dog", "bus", "teddy bear"))
        }
        side = ("neg", "pos")[number]
        for thing, names in things.items():
            for name in names:
                pictures.write(place / side / "coco" / thing / name, number)
        (place / file).write_text(json.dumps({"coco": things}, indent=4))
    return folder


def crpe_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """12 questions, each in four orders of its options, and the list of the questions once each."""
    queries: list[dict[str, Any]] = []
    once: list[dict[str, Any]] = []
    names = sorted(vocabulary.coco().categories)
    for number in range(12):
        there = scene(number // 2)["objects"]
        absent = [name for name in names if name not in there][number : number + 3]
        options, right = [there[0], *absent], there[0]
        asked = {"image": f"coco/val2017/{number // 2:012d}.jpg", "category": "exist"}
        text = "Which of the following objects is in the image?"
        once.append({**asked, "question": text, "choices": options, "correct_option": right})
        for shift in range(4):
            turned = options[shift:] + options[:shift]
            lines = [f"{letter}. {option}" for letter, option in zip("ABCD", turned)]
            lines = [text, *lines, "Answer with the option's letter from the given choices directly."]
            letter = "ABCD"[turned.index(right)]
            query = {"question_id": len(queries), **asked, "text": "\n".join(lines), "correct_option": letter}
            queries.append(query)
    return queries, once


def crpe(folder: Path) -> Path:
    """The existence subset in both forms, and its images in COCO's folder."""
    queries, once = crpe_rows()
    place = folder / "crpe"
    place.mkdir(parents=True)
    (place / crpe_data.FILE).write_text("\n".join(map(json.dumps, queries)) + "\n")
    (place / crpe_data.META).write_text("\n".join(map(json.dumps, once)) + "\n")
    pictures = Pictures()
    for number, name in enumerate(dict.fromkeys(row["image"] for row in queries)):
        pictures.write(folder / name, number)
    return folder


def mme(folder: Path) -> Path:
    """All subtasks, five of them in the archive's other layout."""
    pictures = Pictures()
    for subtask, count in mme_data.COUNTS.items():
        place = folder / "mme" / subtask
        apart = subtask in ("artwork", "celebrity", "landmark", "posters", "scene")
        images, texts = (place / "images", place / "questions_answers_YN") if apart else (place, place)
        texts.mkdir(parents=True, exist_ok=True)
        for number in range(count // 2):
            name = f"{number:012d}"
            pictures.write(images / f"{name}.{'png' if number % 2 else 'jpg'}", number)
            there = scene(number)["objects"][0]
            questions = ((there, "Yes"), ("zebra" if there != "zebra" else "kite", "No"))
            lines = [
                f"Is there a {thing} in this image? Please answer yes or no.\t{label}" for thing, label in questions
            ]
            (texts / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def mmvp_rows() -> list[dict[str, str]]:
    """150 pairs: is what the first image shows in it? It is not in the second one."""
    rows = []
    for number in range(mmvp_data.COUNT):
        first, second = scene(number // 2 * 2)["objects"], scene(number // 2 * 2 + 1)["objects"]
        thing = next((name for name in first if name not in second), first[0])
        question = {"lndex": str(number + 1), "Question": f"Is there a {thing} in this image?"}
        rows.append({**question, "Options": "(a) Yes (b) No", "Correct Answer": ("(a)", "(b)")[number % 2]})
    return rows


def mmvp(folder: Path) -> Path:
    """The question file and the images."""
    place = folder / "mmvp"
    place.mkdir(parents=True)
    listed = mmvp_rows()
    with (place / mmvp_data.FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    pictures = Pictures()
    for number in range(mmvp_data.COUNT):
        pictures.write(place / "MMVP Images" / f"{number + 1}.jpg", number)
    return folder


def amber(folder: Path) -> Path:
    """15,220 records: the images' objects are true, and one that is absent is the hallucinatory target."""
    words = sorted({name for number in range(512) for name in scene(number)["objects"]})
    place = folder / "amber" / "data"
    (place / "query").mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    queries: list[dict[str, Any]] = []
    scenes = amber_data.COUNTS["generative"]
    for number in range(scenes):
        there = list(scene(number)["objects"])
        target = next(word for word in words if word not in there)
        annotations.append({"id": number + 1, "type": "generative", "truth": there, "hallu": [target]})
        queries.append({"id": number + 1, "image": f"AMBER_{number + 1}.jpg", "query": "Describe this image."})
    for kind, label in _amber_questions():
        number = len(annotations)
        image = number % scenes
        there = list(scene(image)["objects"])
        thing = there[0] if label == "yes" else next(word for word in words if word not in there)
        annotations.append({"id": number + 1, "type": kind, "truth": label})
        query = f"Is there a {thing} in this image?"
        queries.append({"id": number + 1, "image": f"AMBER_{image + 1}.jpg", "query": query})
    (place / "annotations.json").write_text(json.dumps(annotations, indent=4))
    (place / "query" / "query_all.json").write_text(json.dumps(queries))
    (place / "relation.json").write_text(json.dumps({word: [] for word in words}))
    (place / "safe_words.txt").write_text("image\npicture\n")
    pictures = Pictures()
    for number in range(scenes):
        pictures.write(folder / "amber" / "image" / f"AMBER_{number + 1}.jpg", number)
    return folder


def _amber_questions() -> Iterator[tuple[str, str]]:
    fixed = {"discriminative-hallucination": "no", "discriminative-relation": "yes", "relation": "no"}
    for kind, count in amber_data.COUNTS.items():
        if kind != "generative":
            yield from ((kind, fixed.get(kind, "yes" if number % 2 else "no")) for number in range(count))


def textvqa_rows() -> list[dict[str, Any]]:
    """5,000 questions, three an image in the main."""
    return [
        {
            "question_id": 34_602 + number,
            "image_id": f"{number // 3:016x}",
            "question": "what is the name of the place?",
            "answers": [scene(number // 3)["place"]] * 7 + ["unanswerable"] * 3,
            "ocr_tokens": ["Main", "St", str(number // 3)],
        }
        for number in range(5_000)
    ]


def textvqa(folder: Path) -> Path:
    """The validation file, the OCR file, and the images."""
    place = folder / "textvqa"
    place.mkdir(parents=True)
    rows = textvqa_rows()
    questions = [{**{key: row[key] for key in row if key != "ocr_tokens"}, "set_name": "val"} for row in rows]
    tokens = {row["image_id"]: {"image_id": row["image_id"], "ocr_tokens": row["ocr_tokens"]} for row in rows}
    (place / "TextVQA_0.5.1_val.json").write_text(json.dumps({"dataset_type": "val", "data": questions}))
    (place / "TextVQA_Rosetta_OCR_v0.2_val.json").write_text(json.dumps({"data": list(tokens.values())}))
    pictures = Pictures()
    for number, image in enumerate(tokens):
        pictures.write(place / "train_images" / f"{image}.jpg", number)
    return folder


def hallusion_rows() -> list[dict[str, Any]]:
    """1,129 questions, 178 of them without an image."""
    rows = []
    for number in range(1_129):
        bare = number < 178
        place = number if bare else number - 178
        figure = "0" if bare else str(1 + place % 3)
        there = scene(place)["objects"][0]
        rows.append(
            {
                "category": "VD" if number % 2 else "VS",
                "subcategory": "figure",
                "visual_input": "0" if bare else "2" if place % 3 == 2 else "1",
                "set_id": str(place // 3),
                "figure_id": figure,
                "sample_note": "drawn",
                "question_id": "0",
                "question": f"Is there a {there} in this image?",
                "gt_answer_details": f"There is a {there}.",
                "gt_answer": str(number % 2),
                "filename": None if bare else f"./{'VD' if number % 2 else 'VS'}/figure/{place // 3}_{figure}.png",
            }
        )
    return rows


def hallusion(folder: Path) -> Path:
    """The question file and the images."""
    place = folder / "hallusion"
    place.mkdir(parents=True)
    rows = hallusion_rows()
    (place / "HallusionBench.json").write_text(json.dumps(rows))
    pictures = Pictures()
    for number, name in enumerate(dict.fromkeys(row["filename"] for row in rows if row["filename"])):
        pictures.write(place / "hallusion_bench" / name, number)
    return folder


def everything(folder: Path) -> Path:
    """Every benchmark in one data folder."""
    for write in (coco, dash_b, crpe, mmvp, mme, amber, textvqa, hallusion):
        write(folder)
    for source in ("coco", "aokvqa", "gqa"):
        pope(folder, source)
    return repope(folder)
