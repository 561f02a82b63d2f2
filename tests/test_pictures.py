"""Images that are cut off or damaged: none is answered that can be told from a whole one."""

from __future__ import annotations

import io
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
from lmms_eval.api.instance import Instance
from PIL import Image, ImageFile, ImageOps
from test_adapter import CAPTION, load, recovery  # noqa: F401 - fixtures
from test_provenance import questions

from hallu_models import pictures
from registry.commands import cli


def encoded(form: str = "JPEG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.fixture
def truncation_on(monkeypatch):
    """As lmms-eval leaves it."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)


def test_lmms_eval_switches_truncation_on_when_it_is_imported():
    import lmms_eval.api.task

    source = Path(lmms_eval.api.task.__file__).read_text(encoding="utf-8")
    assert "ImageFile.LOAD_TRUNCATED_IMAGES = True" in source


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_file_that_is_cut_off_is_refused_with_its_place(form, truncation_on):
    assert pictures.decoded(opened(encoded(form)), "here").size == (96, 96)
    with pytest.raises(ValueError, match="here: .*cut off or damaged, so fetch it again"):
        pictures.decoded(opened(cut(encoded(form))), "here")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_jpeg_without_its_last_two_bytes_is_refused(truncation_on):
    with pytest.raises(ValueError, match="here: the image cannot be decoded .OSError: image file is truncated"):
        pictures.decoded(opened(encoded()[:-2]), "here")


def test_a_png_with_a_flipped_bit_is_refused(truncation_on):
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match="here: "):
        pictures.decoded(opened(bytes(data)), "here")


def test_a_jpeg_with_a_flipped_bit_is_another_picture_that_the_recorded_hash_tells(truncation_on, tmp_path):
    """The format has no checksum. Two runs are told apart by the hash of their questions, which counts the bytes."""
    data = bytearray(encoded())
    data[data.index(b"\xff\xda") + 100] ^= 4
    whole, flipped = (pictures.decoded(opened(bytes(one)), "here") for one in (encoded(), data))
    assert whole.size == flipped.size and whole.tobytes() != flipped.tobytes()
    hashes = []
    for name, content in (("whole", encoded()), ("flipped", bytes(data))):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(content)
        hashes.append(questions([{"question": "What is it?", "image": str(path)}])["sha256"])
    assert hashes[0] != hashes[1]


def test_pixels_are_those_of_the_file():
    image = opened(encoded())
    assert pictures.decoded(image, "here") is image
    assert image.tobytes() == opened(encoded()).tobytes()


def test_an_image_made_in_memory_passes():
    image = Image.new("RGB", (4, 4))
    assert pictures.decoded(image, "here") is image
    assert pictures.decoded(ImageOps.mirror(image), "here").size == (4, 4)


@pytest.mark.parametrize("before", [True, False])
def test_the_switch_is_put_back_after_an_error_too(before, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", before)

    def interrupted():
        with pictures.truncation_off():
            assert ImageFile.LOAD_TRUNCATED_IMAGES is False
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert ImageFile.LOAD_TRUNCATED_IMAGES is before


def messages(doc):
    image = {"type": "image", "url": doc["image"].convert("RGB")}
    return [{"role": "user", "content": [image, {"type": "text", "text": "Describe this image."}]}]


def requests(model, files):
    """Documents of a data set, which decodes an image when its document is read."""
    rows = [{"bytes": data, "path": None} for data in files]
    model.task_dict["a_task"] = {
        "test": datasets.Dataset.from_dict({"image": rows}, datasets.Features({"image": datasets.Image()}))
    }
    return [
        Instance(
            request_type="generate_until",
            arguments=("Describe this image.", messages, dict(CAPTION), index, "a_task", "test"),
            idx=0,
            metadata={"task": "a_task", "doc_id": index, "repeats": 1},
        )
        for index in range(len(files))
    ]


def test_a_run_names_the_document_whose_image_is_cut_off(load, truncation_on):  # noqa: F811
    model = load("llava_base", batch_size=4)
    files = [encoded(seed=seed) for seed in range(4)]
    assert len(model.generate_until(requests(model, files))) == 4
    files[2] = cut(files[2])
    with pytest.raises(RuntimeError, match=r"task a_task, split test, document 2: OSError: image file is truncated"):
        model.generate_until(requests(model, files))


def test_the_other_image_of_a_contrast_is_whole_too(load, truncation_on):  # noqa: F811
    model = load("llava_cicd", batch_size=4)
    files = [encoded(seed=0), cut(encoded(seed=1))]
    with pytest.raises(
        RuntimeError,
        match=r"task a_task, split test, document 0: the other image, of document 1: OSError: image file is trunc",
    ):
        model.generate_until(requests(model, files)[:1])


def test_diagnose_refuses_a_file_that_is_cut_off(tmp_path, capsys, truncation_on):
    file = tmp_path / "cut.jpg"
    file.write_bytes(cut(encoded()))
    assert cli.main(["diagnose", "--what", "vhd", "--image", str(file)]) == 2
    assert re.search(r"--image .*cut\.jpg: .*cut\.jpg cannot be decoded", capsys.readouterr().err)
