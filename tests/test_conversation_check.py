"""What is no conversation is refused before anything is loaded, with its place and the fix."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

import hallu_models
from hallu_models.conversations import checked

PICTURE = Image.new("RGB", (8, 8))
ONE = hallu_models.conversation(PICTURE, "Describe this image.")
NONE = hallu_models.conversation(None, "Hello.")
TWO = [{"role": "user", "content": [{"type": "image", "image": PICTURE}] * 2}]


def part(**content):
    return [[{"role": "user", "content": [content]}]]


WRONG = [
    ([], r"conversations is empty; give at least one: hallu_models\.conversation\(image, prompt\)"),
    ((), r"conversations is empty"),
    ("hello", r"conversations='hello' is no list of conversations"),
    (None, r"conversations=None is no list of conversations"),
    (["hello"], r"conversations\[0\] is 'hello', not a list of messages: hallu_models\.conversation"),
    ([ONE, None], r"conversations\[1\] is None, not a list of messages"),
    (ONE, r"conversations\[0\] is a single message; put the conversation into a list: \[conversation\]"),
    ([ONE, []], r"conversations\[1\] has no messages"),
    ([["hello"]], r"conversations\[0\]\[0\] is 'hello', not a message with role and content"),
    ([[{"role": "user"}]], r"conversations\[0\]\[0\] is \{'role': 'user'\}, not a message with role and content"),
    ([[{"role": "user", "content": 3}]], r"conversations\[0\]\[0\]: content is 3, neither a text nor a list"),
    ([[{"role": "user", "content": ["hello"]}]], r'part 0 is \'hello\'; write \{"type": "text"'),
    (part(type="text"), r"part 0: text=None is no text"),
    (part(type="image"), r'part 0 names no picture; write \{"type": "image"'),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_what_is_no_conversation_is_named_with_its_place_and_the_fix(given, message):
    with pytest.raises(ValueError, match=message):
        checked(given)


@pytest.mark.parametrize("key", ["image", "url", "path"])
def test_a_picture_file_that_does_not_exist_is_named(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = part(type="image", **{key: "pictures/dog.png"})
    with pytest.raises(ValueError, match=rf"part 0: there is no picture file 'pictures/dog.png' .*{tmp_path}.*URL"):
        checked([ONE, *given])
    (tmp_path / "pictures").mkdir()
    PICTURE.save(tmp_path / "pictures" / "dog.png")
    assert checked([ONE, *given])


def test_what_can_be_loaded_passes_as_it_is(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    sources = ["https://example.org/a.png", f"data:image/png;base64,{text}", text, str(tmp_path / "a.png"), PICTURE]
    given = [hallu_models.conversation(source, "a") for source in sources]
    assert checked(given) is given
    assert checked((tuple(ONE), NONE))
    assert checked(part(type="video", url="a.mp4")), "what a part is for is said where it is loaded"
    assert checked(part(type="image", image=np.zeros((8, 8, 3))))


@pytest.mark.parametrize(
    ("images", "conversations", "message"),
    [
        (3, [ONE], r"images=3: conversations\[0\] has 1 image; give images=all, images=last, or a number from 1 to 1"),
        (2, [TWO, NONE, ONE], r"images=2: conversations\[2\] has 1 image;"),
        (3, [TWO], r"images=3: conversations\[0\] has 2 images; .*from 1 to 2"),
    ],
)
def test_an_image_that_a_prompt_does_not_have_is_refused(images, conversations, message):
    with pytest.raises(ValueError, match=message):
        checked(conversations, images - 1)


def test_a_prompt_without_any_image_has_nothing_to_choose_from():
    assert checked([TWO, NONE], 1) and checked([ONE, NONE], -1) and checked([NONE], 4)


@pytest.mark.parametrize(
    ("conversations", "options", "message"),
    [
        ([], {}, "conversations is empty"),
        (["hello"], {}, r"conversations\[0\] is 'hello'"),
        ([hallu_models.conversation("no/such.png", "a")], {}, "there is no picture file 'no/such.png'"),
        ([ONE], {"images": 3}, r"images=3: conversations\[0\] has 1 image"),
    ],
)
def test_generate_refuses_them(conversations, options, message):
    host = hallu_models.load("demo", device="cpu")
    with pytest.raises(ValueError, match=message):
        host.generate(conversations, "vhr", max_new_tokens=1, **options)
    assert host.generate([ONE], max_new_tokens=1), "the model is as it was"
