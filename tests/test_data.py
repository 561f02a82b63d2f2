"""The benchmarks' documents, from files in the official formats and from data sets like the Hub's."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import shutil
from pathlib import Path

import official
import pytest
from datasets import Dataset, Features, Image, Value
from datasets.load import CachedDatasetModuleFactory
from lmms_eval.utils import load_yaml_config

from hallu_tasks.amber import data as amber
from hallu_tasks.benchmarks import command as check
from hallu_tasks.benchmarks import table
from hallu_tasks.chair import data as coco
from hallu_tasks.data import cached
from hallu_tasks.data.documents import Documents, Unavailable
from hallu_tasks.data.folder import Folder
from hallu_tasks.hallusion import data as hallusion
from hallu_tasks.mme import data as mme
from hallu_tasks.pope import data as pope
from hallu_tasks.pope import relabelled
from hallu_tasks.pope import repope_data as repope
from hallu_tasks.textvqa import data as textvqa
from registry.commands import cli
from registry.task_search import task_folders

FIRST = f"val2014/{official.coco_name(coco.sample(official.coco_ids(), 0)[0])}"


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Every benchmark, complete; tests that change files copy what they change."""
    return official.everything(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def data(whole, monkeypatch):
    monkeypatch.setenv("HALLU_DATA", str(whole))
    return whole


@pytest.fixture
def damaged(whole, tmp_path, monkeypatch):
    """A function that gives one benchmark's folder as a copy of its own, the others linked."""

    def own(name):
        folder = tmp_path / "data"
        folder.mkdir()
        for there in whole.iterdir():
            if there.name == name:
                shutil.copytree(there, folder / name)
            else:
                (folder / there.name).symlink_to(there)
        monkeypatch.setenv("HALLU_DATA", str(folder))
        return folder / name

    return own


def rows(documents: Documents):
    """A task's documents as lmms-eval sees them, read anew."""
    fresh = Documents(documents.source, documents._read, documents.hub)
    return fresh.prepare().dataset


# What the tasks ask about


@pytest.mark.parametrize("task", table.TASKS)
def test_a_task_file_names_its_documents(task):
    config = load_yaml_config(task_folders.tasks()[task].file, mode="full")
    assert config["process_docs"] is table.TASKS[task]
    assert config["dataset_path"] == "json" and Path(config["dataset_kwargs"]["data_files"]["test"]).is_file()


@pytest.mark.parametrize("task", table.TASKS)
def test_only_a_metric_with_a_better_direction_has_one(task):
    neither = {"yes_ratio", "mean_length", "mean_mentions", "always_no_accuracy", "always_no_f1"}
    for entry in load_yaml_config(task_folders.tasks()[task].file, mode="full")["metric_list"]:
        assert (entry["higher_is_better"] is None) == (entry["metric"] in neither), entry["metric"]


def test_every_task_is_in_the_table_or_in_the_package():
    named = {name for name, info in task_folders.tasks().items() if info.kind == "task" and name.startswith("hallu_")}
    assert named - set(table.TASKS) == {"hallu_demo_chair", "hallu_demo_pope", "hallu_demo_mme"}


def test_the_suite_is_what_a_paper_needs():
    assert set(check.leaves(["hallu_suite"])) == {
        "hallu_chair_s0",
        *(f"hallu_pope_{strategy}" for strategy in pope.STRATEGIES),
        "hallu_mme",
        "hallu_amber_generative",
        "hallu_amber_discriminative",
        "hallu_textvqa",
    }


def test_copying_a_configuration_copies_no_documents():
    assert copy.deepcopy({"process_docs": mme.every})["process_docs"] is mme.every


@pytest.mark.parametrize("seed", coco.SEEDS)
def test_chair_asks_about_the_published_list(data, seed):
    expected = random.Random(seed).sample(sorted(official.coco_ids()), 500)
    found = rows(coco.documents[seed])
    assert found["image_id"] == expected
    assert [set(names) for names in found["objects"]] == [set(official.scene(image)["objects"]) for image in expected]
    assert found[0]["image"].size == (64, 64)
    printed = coco.documents[seed].local(coco.documents[seed].folder()).facts["id list sha256"]
    assert printed == hashlib.sha256("\n".join(map(str, expected)).encode()).hexdigest()


@pytest.mark.parametrize("source", ["coco", "aokvqa", "gqa"])
@pytest.mark.parametrize("strategy", pope.STRATEGIES)
def test_pope_asks_three_thousand_questions(data, source, strategy):
    found = rows(pope.documents[source, strategy])
    assert len(found) == 3000 and found["answer"].count("yes") == 1500
    assert len(set(found["image_id"])) == 500 and set(found["category"]) == {strategy}
    document = found[7]
    scene = official.scene(1)["objects"]
    asked = document["question"].removesuffix(" in the image?").split(" ", 3)[3]
    assert (asked in scene) == (document["answer"] == "yes")


@pytest.mark.parametrize("strategy", pope.STRATEGIES)
def test_repope_asks_what_is_left_of_pope_with_its_own_labels(data, strategy):
    documents = repope.documents[strategy]
    found, own = rows(documents).remove_columns("image"), rows(pope.documents["coco", strategy]).remove_columns("image")
    count = relabelled.COUNTS[strategy]
    turned = {"yes": "no", "no": "yes"}
    expected = [
        {**row, "answer": turned[row["answer"]] if place < 40 else row["answer"]} for place, row in enumerate(own)
    ]
    assert found.to_list() == expected[:count]
    facts = documents.local(documents.folder()).facts
    assert facts["beside POPE"] == f"{3000 - count} questions left out, 40 with the other label"


def test_repope_needs_no_pope(damaged):
    shutil.rmtree(damaged("pope"))
    assert "beside POPE" not in repope.random.local(repope.random.folder()).facts


def test_a_file_that_is_not_repope_s_is_named(damaged):
    path = damaged("repope") / "annotations" / "coco_repope_random.json"
    pope_file = path.parents[2] / "pope" / "output" / "coco" / "coco_pope_random.json"
    lines = path.read_text().splitlines()
    shutil.copy(pope_file, path)
    with pytest.raises(ValueError, match=r"coco_repope_random.json holds 3,000 questions .* this is POPE's own file"):
        rows(repope.random)
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(
        ValueError, match=r"holds 2,773 questions instead of 2,774; take annotations/coco_repope_random"
    ):
        rows(repope.random)
    path.write_text("\n".join([lines[1].replace('"question_id": 2', '"question_id": 1'), *lines[1:]]))
    with pytest.raises(ValueError, match=r"1 ask something else under the same id \(.*line 1, question_id 1"):
        rows(repope.random)
    path.write_text("\n".join(lines[::-1]))
    assert len(rows(repope.random)) == 2774
    shutil.copy(path, path.with_name("coco_repope_popular.json"))
    with pytest.raises(ValueError, match="coco_repope_random.json and coco_repope_popular.json are the same file"):
        rows(repope.random)


def test_pope_undoes_the_typo(damaged):
    path = damaged("pope") / "output" / "coco" / "coco_pope_random.json"
    path.write_text(path.read_text().replace("in the image?", "in the imange?", 144))
    assert not [text for text in rows(pope.coco_random)["question"] if "imange" in text]


def test_mme_reads_both_layouts_in_the_official_order(data):
    found = rows(mme.every)
    assert len(found) == 2374
    assert list(dict.fromkeys(found["category"])) == list(mme.COUNTS)
    assert found["question"][0].endswith("Please answer yes or no.")
    pairs = list(zip(found["image_id"], found["category"]))
    assert pairs[0::2] == pairs[1::2]
    assert set(rows(mme.hallucination)["category"]) == {"existence", "count", "position", "color"}


def test_amber_has_both_halves_and_its_vocabulary(data):
    described, asked = rows(amber.generative), rows(amber.discriminative)
    assert (len(described), len(asked)) == (1004, 14_216)
    assert set(described["query"]) == {"Describe this image."}
    assert described[0]["truth"] and described[0]["hallu"][0] in amber.vocabulary().associates
    assert set(asked["truth"]) == {"yes", "no"}


def test_textvqa_has_ten_answers_and_the_ocr_tokens(data):
    found = rows(textvqa.validation)
    assert len(found) == 5000 and all(len(answers) == 10 for answers in found["answers"][:50])
    assert found["ocr_tokens"][0] == ["Main", "St", "0"]


def test_hallusion_asks_only_about_images(data):
    found = rows(hallusion.image)
    assert len(found) == 951 and "0" not in found["visual_input"]


def test_two_readings_are_the_same(data):
    assert rows(pope.coco_popular).to_list()[:20] == rows(pope.coco_popular).to_list()[:20]


# Bad input, named before generation


def test_the_other_generation_of_pope_is_refused(damaged):
    path = damaged("pope") / "output" / "coco" / "coco_pope_random.json"
    path.write_text("\n".join(path.read_text().splitlines()[:2910]))
    with pytest.raises(ValueError, match=r"coco_pope_random.json holds 2,910 questions.*older release"):
        rows(pope.coco_random)


def test_truncated_json_is_named_with_its_line(damaged):
    path = damaged("pope") / "output" / "coco" / "coco_pope_popular.json"
    path.write_text(path.read_text()[:100_000])
    with pytest.raises(ValueError, match=r"coco_pope_popular.json, line \d+: not valid JSON .* so fetch it again"):
        rows(pope.coco_popular)


def test_an_array_and_lines_are_the_same_file(damaged, data, monkeypatch):
    expected = rows(pope.coco_random).remove_columns("image").to_list()
    path = damaged("pope") / "output" / "coco" / "coco_pope_random.json"
    path.write_text(json.dumps([json.loads(line) for line in path.read_text().splitlines()], indent=2))
    assert rows(pope.coco_random).remove_columns("image").to_list() == expected


def test_two_different_files_of_one_name_are_refused(damaged):
    folder = damaged("pope")
    path = folder / "output" / "coco" / "coco_pope_random.json"
    (folder / "coco_pope_random.json").write_text(path.read_text().replace("Is there", "Can you see", 1))
    with pytest.raises(ValueError, match="2 different files coco_pope_random.json"):
        rows(pope.coco_random)


def test_a_question_without_partner_is_named(damaged):
    folder = damaged("mme")
    path = sorted((folder / "count").glob("*.txt"))[3]
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(ValueError, match=rf"{path.name} holds 1 questions; an image has two"):
        rows(mme.hallucination)


def test_a_question_without_label_is_named_with_its_line(damaged):
    path = damaged("mme") / "OCR" / "000000000002.txt"
    path.write_text("Is it? Please answer yes or no.\tYes\nIs it not?\tmaybe\n")
    with pytest.raises(ValueError, match=r"OCR/000000000002.txt, line 2 is 'Is it not\?\\tmaybe'"):
        rows(mme.every)


def test_a_missing_subtask_file_is_counted(damaged):
    sorted((damaged("mme") / "color").glob("*.txt"))[0].unlink()
    with pytest.raises(ValueError, match=r"color holds 58 questions instead of 60"):
        rows(mme.hallucination)


@pytest.mark.parametrize(
    ("name", "file", "documents", "missing"),
    [
        ("coco", "annotations/instances_val2014.json", coco.seed_0, "no annotations/instances_val2014.json"),
        ("coco", FIRST, coco.seed_0, "499 of 500 images"),
        ("pope", "output/coco/coco_pope_random.json", pope.coco_random, "no file coco_pope_random.json"),
        ("repope", "annotations/coco_repope_random.json", repope.random, "no file coco_repope_random.json"),
        ("mme", "existence/000000000001.png", mme.every, "no image 000000000001.jpg or .png"),
        ("amber", "data/relation.json", amber.generative, "no data/relation.json"),
        ("amber", "image/AMBER_7.jpg", amber.discriminative, "1003 of 1004 images.*AMBER_7.jpg"),
        ("textvqa", "TextVQA_Rosetta_OCR_v0.2_val.json", textvqa.validation, "no TextVQA_Rosetta_OCR_v0.2_val.json"),
        ("hallusion", "hallusion_bench/VS/figure/0_1.png", hallusion.image, "no hallusion_bench/VS/figure/0_1.png"),
    ],
)  # fmt: skip
def test_a_missing_file_is_named_with_the_way_to_get_it(damaged, name, file, documents, missing):
    (damaged(name) / file).unlink()
    with pytest.raises(Unavailable, match=missing) as found:
        rows(documents)
    assert "hallu data check" in str(found.value) and documents.source.obtain[0] in str(found.value)


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [
        ("pope", "output/coco/coco_pope_random.json", pope.coco_random),
        ("amber", "data/annotations.json", amber.generative),
        ("textvqa", "TextVQA_0.5.1_val.json", textvqa.validation),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_no_file(damaged, name, file, documents):
    path = damaged(name) / file
    path.unlink()
    path.mkdir()
    with pytest.raises(Unavailable, match=path.name):
        rows(documents)


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [
        ("pope", "output/coco/coco_pope_random.json", pope.coco_random),
        ("amber", "image/AMBER_7.jpg", amber.generative),
        ("mme", "existence/000000000001.png", mme.every),
        ("mme", "existence/000000000001.txt", mme.every),
        ("hallusion", "hallusion_bench/VS/figure/0_1.png", hallusion.image),
    ],
)
def test_an_empty_file_is_named(damaged, name, file, documents):
    path = damaged(name) / file
    # Images are hard links, which must not be emptied with this one.
    path.unlink()
    path.touch()
    with pytest.raises(ValueError, match=rf"{path.name} is empty \(0 bytes\); fetch it again"):
        rows(documents)


def test_a_strategys_file_copied_over_anothers_is_refused(damaged):
    folder = damaged("pope") / "output" / "coco"
    shutil.copy(folder / "coco_pope_popular.json", folder / "coco_pope_random.json")
    with pytest.raises(ValueError, match=r"coco_pope_random.json and coco_pope_popular.json are the same file"):
        rows(pope.coco_random)
    assert len(rows(pope.coco_adversarial)) == 3000


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [
        ("coco", "annotations/captions_val2014.json", coco.seed_0),
        ("coco", "annotations/instances_val2014.json", coco.seed_0),
        ("amber", "data/annotations.json", amber.generative),
        ("amber", "data/relation.json", amber.generative),
        ("textvqa", "TextVQA_0.5.1_val.json", textvqa.validation),
    ],
)
def test_a_damaged_file_is_named_with_the_fix(damaged, name, file, documents):
    path = damaged(name) / file
    content = path.read_text()
    path.write_text(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"{path.name} is not valid JSON \(.*; it was cut off or edited, so fetch it"):
        rows(documents)
    path.write_text(content, encoding="utf-16")
    with pytest.raises(ValueError, match=rf"{path.name} is not UTF-8 text \(byte 0\); save it as UTF-8"):
        rows(documents)


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [
        ("pope", "output/coco/coco_pope_random.json", pope.coco_random),
        ("amber", "data/annotations.json", amber.generative),
        ("coco", FIRST, coco.seed_0),
        ("mme", "existence/000000000001.png", mme.every),
    ],
)
def test_a_link_out_of_the_folder_is_refused(damaged, tmp_path, name, file, documents):
    path = damaged(name) / file
    outside = tmp_path / "elsewhere"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match=rf"{path.name} leads out of .*{outside}"):
        rows(documents)


@pytest.mark.parametrize("documents", [pope.coco_random, coco.seed_0, mme.every, amber.generative])
def test_what_stands_in_the_place_of_a_benchmarks_folder_is_not_passed_over(tmp_path, monkeypatch, documents):
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    place = tmp_path / documents.source.folder
    place.symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=rf"{place} is a link to .*gone, which does not exist"):
        rows(documents)
    place.unlink()
    place.touch()
    with pytest.raises(ValueError, match=rf"{place} is not a folder"):
        rows(documents)


def test_mme_is_read_as_its_archive_unpacks(data, damaged):
    expected = rows(mme.every).remove_columns("image").to_list()
    folder = damaged("mme")
    outer = folder / "MME_Benchmark_release_version"
    folder.rename(folder.with_name("unpacked"))
    folder.mkdir()
    folder.with_name("unpacked").rename(outer)
    (folder / "__MACOSX").mkdir()
    for place in (outer / "existence", outer / "artwork" / "questions_answers_YN"):
        (place / "._000000000001.txt").write_bytes(b"\x00\x05\x16\x07")
    assert rows(mme.every).remove_columns("image").to_list() == expected
    (folder / "copy" / "existence").mkdir(parents=True)
    with pytest.raises(ValueError, match="existence in 2 folders: MME_Benchmark_release_version, copy; keep one"):
        rows(mme.every)


def test_a_benchmarks_folder_itself_may_be_a_link(whole, tmp_path, monkeypatch):
    (tmp_path / "amber").symlink_to(whole / "amber")
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    assert len(rows(amber.generative)) == 1004


def test_annotations_without_captions_are_named(damaged):
    path = damaged("coco") / "annotations" / "captions_val2014.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match=r"captions_val2014.json is not captions_val2014.json: KeyError 'annotations'"):
        rows(coco.seed_0)


def test_a_part_of_coco_is_refused(damaged):
    path = damaged("coco") / "annotations" / "captions_val2014.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": content["annotations"][:5000]}))
    with pytest.raises(ValueError, match=r"describes 5,000 images instead of 40,504"):
        rows(coco.seed_0)


def test_instances_of_another_split_are_named(damaged):
    path = damaged("coco") / "annotations" / "instances_val2014.json"
    content = json.loads(path.read_text())
    gone = coco.sample(official.coco_ids(), 0)[5]
    kept = {key: [one for one in content[key] if one.get("image_id", one["id"]) != gone] for key in content}
    path.write_text(json.dumps({**kept, "categories": content["categories"]}))
    with pytest.raises(ValueError, match=rf"{gone}"):
        rows(coco.seed_0)


def test_amber_of_another_release_is_counted(damaged):
    path = damaged("amber") / "data" / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-10]))
    with pytest.raises(ValueError, match="679 relation instead of 689"):
        rows(amber.discriminative)


def test_a_list_needs_five_hundred_images():
    with pytest.raises(ValueError, match="only 3 ids"):
        coco.sample([1, 2, 3, 3], 0)


@pytest.mark.parametrize(("value", "problem"), [("missing", "does not exist"), ("file", "is not a folder")])
def test_a_wrong_data_folder_is_named(tmp_path, monkeypatch, value, problem):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HALLU_DATA", str(tmp_path / value))
    with pytest.raises(ValueError, match=problem):
        rows(amber.generative)


def test_a_data_folder_may_begin_with_the_home_folder(whole, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(whole)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HALLU_DATA", "~/link")
    assert len(rows(amber.generative)) == 1004
    for value in ("~/none", "~nobody_of_this_name/none"):
        monkeypatch.setenv("HALLU_DATA", value)
        with pytest.raises(ValueError, match="none does not exist; name the folder"):
            rows(amber.generative)


def test_without_data_every_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("HALLU_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unavailable) as found:
        rows(pope.coco_random)
    said = str(found.value)
    assert "HALLU_DATA is not set" in said and "lmms-lab-encoder/POPE could not be loaded" in said
    assert "github.com/RUCAIBox/POPE" in said and "pope/coco_pope_random.json" in said
    with pytest.raises(Unavailable, match="HALLU_DATA is not set"):
        rows(coco.seed_0)


# The Hub: a folder of the same name in the working directory stands in for the data set


def hub(folder, repository, split, columns, images):
    place = folder / repository / "data"
    place.mkdir(parents=True)
    features = Features({**{key: Value(kind) for key, (kind, _) in columns.items()}, "image": Image()})
    content = {key: values for key, (_, values) in columns.items()}
    Dataset.from_dict({**content, "image": images}, features=features).to_parquet(place / f"{split}-00000.parquet")


def encoded(number):
    return {"bytes": official.scene(number)["image"]["bytes"], "path": None}


@pytest.fixture
def hub_pope(tmp_path, monkeypatch):
    names = [official.coco_name(image) for image in official.coco_ids()[-500:]]
    asked = [(strategy, row) for strategy in pope.STRATEGIES for row in official.pope_rows(strategy, names)]
    columns = {
        "id": ("string", [str(number) for number in range(9000)]),
        "question_id": ("string", [str(row["question_id"]) for _, row in asked]),
        "question": ("string", [row["text"].replace("image", "imange") for _, row in asked]),
        "answer": ("string", [row["label"] for _, row in asked]),
        "image_source": ("string", [row["image"].removesuffix(".jpg") for _, row in asked]),
        "category": ("string", [strategy for strategy, _ in asked]),
    }
    hub(tmp_path, "lmms-lab-encoder/POPE", "test", columns, [encoded(0)] * 9000)
    monkeypatch.delenv("HALLU_DATA", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_the_hubs_pope_is_the_official_one(hub_pope, whole, monkeypatch):
    fetched = rows(pope.coco_popular)
    monkeypatch.setenv("HALLU_DATA", str(whole))
    local = rows(pope.coco_popular)
    for column in ("question", "answer", "category", "image_id"):
        assert fetched[column] == local[column]
    assert fetched[0]["image"].size == (64, 64)


def test_a_changed_data_set_of_the_hub_is_refused(hub_pope, monkeypatch):
    shorter = Documents(
        pope.coco_random.source,
        pope.coco_random._read,
        pope.Hub("lmms-lab-encoder/POPE", "test", 2999, pope.coco_random.hub.convert),
    )
    with pytest.raises(ValueError, match="gives 3000 documents .* not 2999"):
        shorter.prepare()


def test_the_hubs_mme_is_the_official_one(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("HALLU_DATA", str(whole))
    local = rows(mme.hallucination)
    count = len(local)
    columns = {
        "question_id": ("string", [f"{row['category']}/{row['image_id']}" for row in local]),
        "question": ("string", local["question"]),
        "answer": ("string", local["answer"]),
        "category": ("string", local["category"]),
    }
    hub(tmp_path, "lmms-lab-encoder/MME", "test", columns, [encoded(1)] * count)
    monkeypatch.delenv("HALLU_DATA")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    fetched = rows(mme.hallucination)
    for column in ("question", "answer", "category", "image_id"):
        assert fetched[column] == local[column]


# hallu data check


def test_the_check_says_what_is_ready(data, capsys):
    assert cli.main(["data", "check", "hallu_suite"]) == 0
    said = capsys.readouterr().out
    assert "8 tasks: 8 ready" in said
    assert "Licence: academic research only, not to be redistributed" in said
    assert coco.digest(coco.sample(official.coco_ids(), 0)) in said


def test_the_check_says_a_count_once(data, capsys):
    assert cli.main(["data", "check", "hallu_amber_generative", "hallu_amber_discriminative"]) == 0
    said = capsys.readouterr().out
    assert "documents: 1,004 images\n" in said and "documents: 14,216 questions on 1,004 images\n" in said


def test_the_check_needs_no_data_of_the_demo(monkeypatch, capsys):
    monkeypatch.delenv("HALLU_DATA", raising=False)
    assert cli.main(["data", "check", "hallu_demo_chair"]) == 0
    said = capsys.readouterr().out
    assert "hallu_demo_chair\n" in said and "needs no data" in said and "1 tasks: 1 ready" in said
    assert cli.main(["data", "check", "hallu_demo", "hallu_chair_s0", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["tasks_without_data"] == ["hallu_demo_chair", "hallu_demo_pope", "hallu_demo_mme"]
    assert [one["tasks"] for one in found["tasks"]] == [["hallu_chair_s0"]]


def test_paths_are_those_below_the_data_folder(monkeypatch, capsys):
    monkeypatch.delenv("HALLU_DATA", raising=False)
    assert cli.main(["data", "check", "hallu_pope_gqa"]) == 1
    said = capsys.readouterr().out
    assert "HALLU_DATA: not set; it names your data folder" in said
    assert "put: HALLU_DATA/pope/gqa_pope_seem_random.json\n" in said
    assert "put: HALLU_DATA/gqa/images/2354786.jpg ...\n" in said


def test_the_check_says_what_is_missing_and_where_to_get_it(damaged, capsys):
    (damaged("amber") / "data" / "safe_words.txt").unlink()
    assert cli.main(["data", "check", "hallu_amber_generative"]) == 1
    said = capsys.readouterr().out
    assert "MISSING" in said and "no data/safe_words.txt" in said and "get: https://github.com/" in said


def test_the_check_counts_what_is_damaged(damaged, capsys):
    path = damaged("pope") / "output" / "coco" / "coco_pope_random.json"
    path.write_text("\n".join(path.read_text().splitlines()[:2910]))
    assert cli.main(["data", "check", "--json"]) == 1
    found = {task: one for one in json.loads(capsys.readouterr().out)["tasks"] for task in one["tasks"]}
    assert found["hallu_pope_random"]["state"] == "damaged" and "2,910" in found["hallu_pope_random"]["problem"]
    assert found["hallu_pope_popular"]["state"] == "ready"


def test_the_check_needs_nothing_to_run(monkeypatch, capsys):
    monkeypatch.delenv("HALLU_DATA", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert cli.main(["data", "check"]) == 0
    said = capsys.readouterr().out
    assert "HALLU_DATA: not set" in said and "Hub lmms-lab-encoder/MME" in said
    assert cli.main(["data", "check", "hallu_mme"]) == 0
    assert cli.main(["data", "check", "hallu_chair"]) == 1


def test_offline_only_the_cache_is_the_hub(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HALLU_DATA", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    for variable in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        for other in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(variable, "True")
        assert cli.main(["data", "check", "hallu_hallusion"]) == 1
        said = capsys.readouterr().out
        assert f"HallusionBench is not in the cache; {variable} forbids to fetch it" in said
        assert "put: HALLU_DATA/hallusion/HallusionBench.json" in said
    # What a download that was cut off leaves behind is no data set.
    for name, code in (("9f3.incomplete", 1), ("9f3", 0)):
        place = tmp_path / "lmms-lab-encoder___hallusion_bench" / "default" / "0.0.0" / name
        place.mkdir(parents=True)
        (place / "dataset_info.json").write_text("{}")
        assert cli.main(["data", "check", "hallu_hallusion"]) == code
    assert "in the cache: yes" in capsys.readouterr().out


def test_the_check_and_a_run_agree_on_what_is_in_the_cache(hub_pope, tmp_path, monkeypatch):
    assert not cached.is_cached("lmms-lab-encoder/POPE")
    place = tmp_path / "cache" / "lmms-lab-encoder___pope" / "default" / "0.0.0" / "9f3"
    # The stand-in for the Hub is a local folder; `datasets` puts what it prepared elsewhere, and looks there offline.
    place.mkdir(parents=True)
    (place / "dataset_info.json").write_text("{}")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert CachedDatasetModuleFactory("lmms-lab-encoder/POPE").get_module().builder_configs_parameters is not None
    assert cached.is_cached("lmms-lab-encoder/POPE")


def test_the_check_names_an_unknown_task(capsys):
    assert cli.main(["data", "check", "hallu_popes"]) == 2
    assert "unknown task 'hallu_popes'; allowed: hallu_chair_s0" in capsys.readouterr().err


def test_a_picture_is_what_was_written(data):
    from PIL import Image as Picture

    found = rows(amber.generative)[3]["image"].convert("RGB")
    assert found.tobytes() == Picture.open(io.BytesIO(official.scene(3)["image"]["bytes"])).convert("RGB").tobytes()


def test_no_file_of_a_benchmark_is_in_the_package():
    folder = Path(task_folders.own_folder())
    known = {"placeholder.json", "scenes.parquet", "pope.parquet", "mme.parquet"}
    assert {
        file.name for file in folder.rglob("*") if file.suffix in (".json", ".jsonl", ".parquet", ".jpg", ".png")
    } == known


def test_a_folder_shows_its_path():
    assert repr(Folder(Path("a"))) == "Folder('a')"


def test_the_results_say_which_files_or_which_commit_were_read(data, whole):
    fresh = Documents(pope.coco_random.source, pope.coco_random._read, pope.coco_random.hub)
    assert str(fresh) == "<documents of POPE on COCO images>"
    fresh.prepare()
    digest = hashlib.sha256((whole / "pope/output/coco/coco_pope_random.json").read_bytes()).hexdigest()
    assert str(fresh) == f"<documents of POPE on COCO images, coco_pope_random.json sha256 {digest[:16]}>"
    assert str(whole) not in str(fresh)
