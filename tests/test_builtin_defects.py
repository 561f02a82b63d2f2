"""What is wrong in lmms-eval's own tasks, shown on its code, and that ours do not have it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from hallu_tasks.amber import task as amber_task
from hallu_tasks.chair import task as chair_task
from hallu_tasks.data import doc
from hallu_tasks.mme import task as mme_task
from hallu_tasks.pope import task as pope_task
from hallu_tasks.scoring import amber, chair, mme
from registry.files import yaml_files
from registry.task_search import task_folders

(HOST,) = importlib.util.find_spec("lmms_eval").submodule_search_locations


def built_in(task):
    """A built-in task's functions, loaded from their file: importing lmms-eval's package pulls in torch."""
    path = Path(HOST) / "tasks" / task / "utils.py"
    spec = importlib.util.spec_from_file_location(f"built_in_{task}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configuration(task):
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)
    return yaml.load((Path(HOST) / "tasks" / task / f"{task}.yaml").read_text(), Loader)


def ours(task):
    config = yaml_files.read(task_folders.tasks()[task].file)
    included = config.get("include")
    return {**(yaml_files.read(task_folders.tasks()[task].file.parent / included) if included else {}), **config}


# CHAIR


def chair_records(captions, objects):
    return [chair_task.process_results({"image_id": 1, "objects": objects}, [text])["chair_i"] for text in captions]


def test_captions_without_objects_have_no_score_instead_of_an_exception():
    theirs = built_in("coco_cap_chair")
    with pytest.raises(ZeroDivisionError):
        theirs.coco_cap_chair_aggregate_results_chair_i([{"answer": ["dog"], "pred": []}])
    assert chair_task.chair_i(chair_records(["Nothing to see."], ["dog"])) is None


def test_an_object_is_no_part_of_another_objects_name():
    theirs = built_in("coco_cap_chair")
    # The truth as one text: "cat" counts as true because "cattle" holds its letters.
    assert theirs.coco_cap_chair_aggregate_results_chair_i([{"answer": "cattle", "pred": ["cat"]}]) == 0
    with pytest.raises(TypeError, match="must be a set of names"):
        chair.record("A cat.", "cattle")
    assert chair.record("A cat.", ["cow"])["hallucinated"] == 1


def test_plurals_are_read_without_data_files():
    """Where NLTK's data are missing, the built-in task says so after generation."""
    assert {"word_tokenize", "pos_tag"} <= set(built_in("coco_cap_chair").caption_to_words.__code__.co_names)
    assert chair.objects("Two men and three vases.") == ["person", "vase"]


def test_chair_has_seven_scores_and_captions_of_a_length_that_is_compared():
    theirs = configuration("coco_cap_chair")
    assert len(theirs["metric_list"]) == 3 and theirs["generation_kwargs"]["max_new_tokens"] == 2048
    mine = ours("hallu_chair_s0")
    assert len(mine["metric_list"]) == 7 and mine["generation_kwargs"]["max_new_tokens"] == 512
    assert ours("hallu_chair_64")["generation_kwargs"]["max_new_tokens"] == 64


def test_a_blank_line_ends_no_caption():
    for task in task_folders.tasks():
        if task.startswith("hallu_") and "generation_kwargs" in (config := ours(task)):
            assert config["generation_kwargs"]["until"] == [], task


# POPE


def pope_answers(pairs):
    records = []
    for answer, label in pairs:
        records.append(pope_task.process_results({"image_id": 1, "answer": label}, [answer])["f1"])
    return records


def their_pope(pairs):
    theirs = built_in("pope")
    return theirs, [
        theirs.pope_process_results({"question_id": 1, "answer": label}, [answer])["pope_f1_score"]
        for answer, label in pairs
    ]


def test_yes_with_a_full_stop_is_yes():
    pairs = [("Yes.", "yes"), ("No, there is no dog.", "no")]
    theirs, records = their_pope(pairs)
    assert theirs.pope_aggregate_accuracy(records) == 0
    assert pope_task.accuracy(pope_answers(pairs)) == 100


def test_misses_that_cannot_be_read_stay_in_the_denominator_of_recall():
    pairs = [("yes", "yes"), *[("I can see one.", "yes")] * 9, *[("no", "no")] * 10]
    theirs, records = their_pope(pairs)
    assert theirs.pope_aggregate_accuracy(records) == 0.55 and theirs.pope_aggregate_f1_score(records) == 1.0
    strict = [pope_task.pope.record(answer, label, "strict") for answer, label in pairs]
    assert pope_task.accuracy(strict) == pytest.approx(55)
    assert pope_task.recall(strict) == pytest.approx(10)
    assert pope_task.f1(strict) == pytest.approx(200 / 11)
    assert pope_task.unparsed_count(strict) == 9


def test_the_share_of_yes_is_that_of_the_answers():
    pairs = [("yes", "yes"), ("yes", "no")]
    theirs, records = their_pope(pairs)
    assert theirs.pope_aggregate_yes_ratio(records) == 0.5
    assert pope_task.yes_ratio(pope_answers(pairs)) == 100


def test_every_image_source_has_its_tasks():
    assert {"hallu_pope", "hallu_pope_aokvqa", "hallu_pope_gqa"} <= task_folders.tasks().keys()


def test_a_pooled_f1_is_not_the_mean():
    few, many = pope_answers([("Yes", "yes")]), pope_answers([("Yes", "no"), ("Yes", "yes"), ("No", "yes")])
    single = [pope_task.f1_pooled(few), pope_task.f1_pooled(many)]
    assert single == [100, 50]
    assert pope_task.mean([pope_task.f1(few), pope_task.f1(many)], None, None) == 75
    # 2 hits; 3 answered yes, 3 labelled yes.
    assert pope_task.pool(single, None, None) == pytest.approx(200 * 2 / 6)


# MME, AMBER, TextVQA


def test_the_benchmarks_own_prompt_is_asked():
    theirs = built_in("mme")
    question = "Is there a dog? Please answer yes or no."
    kwargs = configuration("mme")["lmms_eval_specific_kwargs"]["default"]
    assert "Please answer yes or no." not in theirs.mme_doc_to_text({"question": question}, kwargs)
    assert doc.question({"question": question}, ours("hallu_mme").get("lmms_eval_specific_kwargs")) == question


def test_every_subtask_is_a_score():
    named = {entry["metric"] for entry in ours("hallu_mme")["metric_list"]}
    assert named == {*mme.SUBTASKS, *mme.TOTALS, "unparsed_count"}
    assert len(configuration("mme")["metric_list"]) == 2


def test_a_question_without_partner_is_left_out_with_a_warning():
    record = {"question_id": "1", "category": "existence", "score": 1.0}
    with pytest.raises(AssertionError):
        built_in("mme").mme_aggregate_results([record])
    question = {"category": "existence", "image_id": "1", "question": "Is it?", "answer": "Yes"}
    single = [mme_task.process_results(question, ["Yes"])["existence"]]
    with pytest.warns(UserWarning, match="1 question.* without partner"):
        assert mme_task.existence(single) is None


def test_a_perfect_description_has_no_hallucination():
    """The built-in task, which needs spaCy to be loaded, starts every sample's denominator at 0.001."""
    vocabulary = amber.read_vocabulary({"dog": []}, [])
    record = amber.record_generative("A dog.", amber.Scene(("dog",), ()), vocabulary)
    assert amber_task.hal([record] * 10) == 0


def test_cog_is_better_when_lower():
    better = {entry["metric"]: entry["higher_is_better"] for entry in ours("hallu_amber_generative")["metric_list"]}
    assert better == {"chair": False, "cover": True, "hal": False, "cog": False, "mean_length": None}
    theirs = {entry["metric"]: entry["higher_is_better"] for entry in configuration("amber_g")["metric_list"]}
    assert theirs["amber_cog"] is True


def test_the_always_no_baseline_stands_beside_the_result():
    document = {"image_id": "AMBER_1.jpg", "type": "relation", "truth": "no"}
    records = [amber_task.process_answer(document, [answer])["f1"] for answer in ("Yes.", "no")]
    assert amber_task.accuracy(records) == 50 and amber_task.always_no_accuracy(records) == 100


def test_a_question_keeps_its_capitals():
    theirs = built_in("textvqa")
    document = {"question": "what does NASA say?", "ocr_tokens": ["NASA"]}
    kwargs = ours("hallu_textvqa")["lmms_eval_specific_kwargs"]["default"]
    assert theirs.textvqa_doc_to_text(document, kwargs).startswith("What does nasa say?")
    assert doc.question(document, kwargs).startswith("what does NASA say?\nAnswer the question")
