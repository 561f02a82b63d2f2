"""The model class that lmms-eval runs: batching, memory, errors that name the document, nothing lost."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch
from lmms_eval.api.instance import Instance
from loguru import logger
from PIL import Image

from hallu_models import generation, models
from registry.runs import source

CAPTION = {"max_new_tokens": 12, "temperature": 0, "top_p": 0, "do_sample": False, "until": []}


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8))


def messages(doc):
    if doc.get("broken"):
        raise OSError("image file is truncated")
    content = [{"type": "image", "url": picture(doc["image"])}] if doc["image"] is not None else []
    return [{"role": "user", "content": [*content, {"type": "text", "text": doc["text"]}]}]


def requests(model, docs, options=CAPTION, task="some_task"):
    model.task_dict[task] = {"test": docs}
    return [
        Instance(
            request_type="generate_until",
            arguments=(doc["text"], messages, dict(options), index, task, "test"),
            idx=0,
            metadata={"task": task, "doc_id": index, "repeats": 1},
        )
        for index, doc in enumerate(docs)
    ]


TEXTS = [
    "Describe this image.",
    "Is there a cup in the image?",
    "Please describe this image in detail.",
    "What can you see in the image? Please answer yes or no.",
]
DOCS = [{"image": n, "text": TEXTS[n % 4]} for n in range(18)]


@pytest.fixture(autouse=True)
def recovery(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path / "recovery"))
    return tmp_path / "recovery"


@pytest.fixture(scope="module")
def load():
    loaded = {}

    def get(name="llava_vhr", **arguments):
        key = (name, json.dumps(arguments, sort_keys=True))
        if key not in loaded:
            loaded[key] = getattr(models, name)(pretrained="demo", device="cpu", **arguments)
        return loaded[key]

    return get


def kept_lines(recovery):
    return [line for path in recovery.glob("*.jsonl") for line in path.read_text().splitlines()]


def texts(answers):
    return [answer.text for answer in answers]


@pytest.mark.parametrize("name", ["llava_vhr", "llava_base"])
def test_answers_do_not_depend_on_the_batch_size(load, name):
    results = [texts((m := load(name, batch_size=size)).generate_until(requests(m, DOCS))) for size in (1, 4, 16)]
    assert results[0] == results[1] == results[2]
    assert len(results[0]) == 18 and all(results[0])


def test_answers_come_in_the_order_of_the_requests(load):
    model = load(batch_size=4)
    forward = texts(model.generate_until(requests(model, DOCS)))
    assert texts(model.generate_until(requests(model, DOCS[::-1]))) == forward[::-1]


def test_tasks_of_one_run_keep_their_own_options(load):
    model = load(batch_size=16)
    short = requests(model, DOCS[:4], {**CAPTION, "max_new_tokens": 1}, "short")
    answers = model.generate_until([*requests(model, DOCS[:4]), *short])
    assert [answer.token_counts.output_tokens for answer in answers[4:]] == [1] * 4
    assert max(answer.token_counts.output_tokens for answer in answers[:4]) > 1


def test_token_counts(load):
    model = load(batch_size=4)
    answers = model.generate_until(requests(model, [{"image": 1, "text": "a"}, {"image": None, "text": "a a a"}]))
    # <s> USER : [image] a ASSISTANT :
    assert [answer.token_counts.input_tokens for answer in answers] == [3 + 64 + 3, 3 + 5]


@pytest.fixture
def said():
    """What is logged."""
    # Takes all other sinks away when it is first imported.
    importlib.import_module("lmms_eval.models")
    lines = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


def test_the_log_says_once_how_long_the_run_will_take(load, said):
    model = load(batch_size=2)
    model.generate_until(requests(model, DOCS))
    (line,) = [line for line in said if "about" in line]
    assert line.endswith("s for the other 10 documents, if they are like the first 8")


def test_on_an_accelerator_the_log_says_the_peak_of_memory_so_far(load, said, monkeypatch):
    model, asked = load(batch_size=2), []

    def most(device):
        """Grows with every call, as memory does that is asked for too early or too often."""
        asked.append(device)
        return len(asked) * 3 * 2**30

    monkeypatch.setattr(torch.cuda, "max_memory_allocated", most)
    monkeypatch.setattr(model, "device", torch.device("cuda", 1))
    model.generate_until(requests(model, DOCS))
    (line,) = [line for line in said if "about" in line]
    assert line.endswith("s for the other 10 documents, if they are like the first 8; peak memory 3.0 GiB on cuda:1")
    assert asked == [torch.device("cuda", 1)]


def test_out_of_memory_halves_the_batch_and_answers_everything_once(load, monkeypatch):
    model = load(batch_size=16)
    expected = texts(model.generate_until(requests(model, DOCS)))
    answered = []
    plain = model.host.model.generate

    def small_memory(**inputs):
        rows = len(inputs["input_ids"])
        if rows > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        answered.append(rows)
        return plain(**inputs)

    monkeypatch.setattr(model.host.model, "generate", small_memory)
    monkeypatch.setattr(model, "batch_size", 16)
    assert texts(model.generate_until(requests(model, DOCS))) == expected
    assert sum(answered) == 18 and max(answered) <= 3
    assert model.batch_size == 2  # 16, 8, 4, 2: remembered for what follows.


def test_out_of_memory_at_batch_size_one_is_raised(load, monkeypatch):
    model = load(batch_size=1)

    def no_memory(**_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(model.host.model, "generate", no_memory)
    with pytest.raises(RuntimeError, match=r"some_task.*document 0.*out of memory"):
        model.generate_until(requests(model, DOCS[:1]))


def test_an_unreadable_image_names_task_and_document_and_loses_nothing(load, recovery, monkeypatch):
    model = load(batch_size=1)
    expected = texts(model.generate_until(requests(model, DOCS[:6])))
    broken = [*DOCS[:5], {**DOCS[5], "broken": True}]
    with pytest.raises(RuntimeError, match=r"^method vhr, task some_task, split test, document 5: OSError: image file"):
        model.generate_until(requests(model, broken))
    kept = list(recovery.glob("*.jsonl"))
    assert len(kept) == 1
    finished = len(kept[0].read_text().splitlines())
    assert finished > 0
    asked = []
    plain = model.host.model.generate
    monkeypatch.setattr(model.host.model, "generate", lambda **inputs: asked.append(1) or plain(**inputs))
    assert texts(model.generate_until(requests(model, DOCS[:6]))) == expected
    assert len(asked) == 6 - finished
    assert not list(recovery.glob("*.jsonl"))


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, OSError])
def test_what_ends_a_run_leaves_the_batches_before_it_in_the_file(load, recovery, monkeypatch, end):
    model = load(batch_size=4)
    expected = texts(model.generate_until(requests(model, DOCS[:10])))
    plain, seen = model.host.model.generate, []

    def interrupted(**inputs):
        if len(seen) == 2:
            raise end("now")
        seen.append(len(kept_lines(recovery)))
        return plain(**inputs)

    monkeypatch.setattr(model.host.model, "generate", interrupted)
    with pytest.raises((end, RuntimeError)):
        model.generate_until(requests(model, DOCS[:10]))
    assert seen == [0, 4] and len(kept_lines(recovery)) == 8
    asked = []
    monkeypatch.setattr(
        model.host.model, "generate", lambda **inputs: asked.append(len(inputs["input_ids"])) or plain(**inputs)
    )
    assert texts(model.generate_until(requests(model, DOCS[:10]))) == expected
    assert asked == [2]


def test_what_fitted_into_memory_is_kept_when_the_rest_of_its_batch_does_not(load, recovery, monkeypatch):
    model = load(batch_size=4)
    plain, calls = model.host.model.generate, []

    def small_memory(**inputs):
        calls.append(len(inputs["input_ids"]))
        if len(calls) != 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return plain(**inputs)

    monkeypatch.setattr(model.host.model, "generate", small_memory)
    monkeypatch.setattr(model, "batch_size", 4)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.generate_until(requests(model, DOCS[:4]))
    assert calls == [4, 2, 2, 1]
    assert len(kept_lines(recovery)) == 2


def test_sampled_answers_are_not_kept(load, recovery, monkeypatch):
    model = load("llava_base", batch_size=1)
    sampled = {"max_new_tokens": 4, "temperature": 5.0, "until": []}
    broken = [*DOCS[:3], {**DOCS[3], "broken": True}]
    with pytest.raises(RuntimeError):
        model.generate_until([*requests(model, DOCS[:2], task="greedy"), *requests(model, broken, sampled)])
    assert len(kept_lines(recovery)) == 2
    asked, plain = [], model.host.model.generate
    monkeypatch.setattr(
        model.host.model, "generate", lambda **inputs: asked.append(inputs["do_sample"]) or plain(**inputs)
    )
    model.generate_until([*requests(model, DOCS[:2], task="greedy"), *requests(model, DOCS[:4], sampled)])
    assert asked == [True] * 4


def test_a_request_that_stands_twice_is_answered_once_unless_it_is_sampled(load, monkeypatch):
    model = load("llava_base", batch_size=4)
    asked, plain = [], model.host.model.generate
    monkeypatch.setattr(
        model.host.model, "generate", lambda **inputs: asked.append(len(inputs["input_ids"])) or plain(**inputs)
    )
    twice = [*requests(model, DOCS[:2])] * 2
    answers = texts(model.generate_until(twice))
    assert answers[:2] == answers[2:] and sum(asked) == 2
    asked.clear()
    model.generate_until([*requests(model, DOCS[:2], {"max_new_tokens": 4, "temperature": 5.0})] * 2)
    assert sum(asked) == 4


def test_a_run_that_asks_otherwise_goes_on_beside_one_that_is_not_finished(load, recovery):
    model = load(batch_size=1)
    for number in (3, 4):
        with pytest.raises(RuntimeError):
            model.generate_until(requests(model, [*DOCS[:number], {**DOCS[number], "broken": True}]))
    assert len(list(recovery.glob("*.jsonl"))) == 2


def test_a_run_that_cannot_keep_its_answers_goes_on(load, recovery):
    recovery.write_text("a file where the folder would be")
    model = load(batch_size=4)
    assert all(texts(model.generate_until(requests(model, DOCS[:10]))))


def test_kept_answers_belong_to_the_code_that_gave_them(load, recovery, monkeypatch):
    model = load(batch_size=4)
    broken = [*DOCS[:6], {**DOCS[6], "text": "a", "broken": True}]
    with pytest.raises(RuntimeError):
        model.generate_until(requests(model, broken))
    assert len(list(recovery.glob("*.jsonl"))) == 1
    answered = []
    answer = model._answer
    monkeypatch.setattr(
        model, "_answer", lambda asked, batch, session: answered.extend(batch) or answer(asked, batch, session)
    )
    monkeypatch.setattr(source, "code", lambda root: "other code")
    model.generate_until(requests(model, DOCS[:7]))
    assert len(answered) == 7


def test_kept_answers_belong_to_one_method_setting(load, recovery):
    model, other = load(batch_size=1), load(batch_size=1, alpha=1.5)
    with pytest.raises(RuntimeError):
        model.generate_until(requests(model, [*DOCS[:2], {**DOCS[3], "text": "a", "broken": True}]))
    other.generate_until(requests(other, DOCS[:2]))
    assert len(list(recovery.glob("*.jsonl"))) == 1


def test_any_other_exception_is_raised_with_its_document(load, monkeypatch):
    model = load(batch_size=4)

    def fail(**_):
        raise ValueError("something else")

    monkeypatch.setattr(model.host.model, "generate", fail)
    with pytest.raises(
        RuntimeError,
        match=r"method vhr, task some_task.*document \d+ and the 3 documents batched with it: ValueError: something",
    ):
        model.generate_until(requests(model, DOCS[:4]))


@pytest.mark.parametrize("size", [1, 4])
def test_a_damaged_picture_names_the_document_that_has_it_also_as_another_ones_other_image(load, size):
    model = load("llava_cicd", batch_size=size)
    docs = [*DOCS[:3], {**DOCS[3], "broken": True}]
    with pytest.raises(RuntimeError, match=r"method cicd, task some_task.*document \d") as raised:
        model.generate_until(requests(model, docs)[:3])
    assert "the other image, of document 3: OSError: image file is truncated" in str(raised.value)
    with pytest.raises(
        RuntimeError, match=r"^method cicd, task some_task, split test, document 3: OSError: image file"
    ):
        model.generate_until(requests(model, docs)[3:])


def test_a_document_without_an_image_is_answered_and_counted(load):
    from lmms_eval.models.model_utils.gen_metrics import get_logged_metrics_history

    docs = [{"image": None, "text": "Describe this image."}, *DOCS[:3]]
    vhr, base = load(batch_size=4), load("llava_base", batch_size=4)
    answers = texts(vhr.generate_until(requests(vhr, docs)))
    assert get_logged_metrics_history()[-1]["documents_without_image"] == 1
    assert answers[0] == texts(base.generate_until(requests(base, docs)))[0]


def test_video_is_refused(load):
    model = load(batch_size=4)
    request = requests(model, DOCS[:1])
    video = [{"role": "user", "content": [{"type": "video", "url": "a.mp4"}]}]
    request[0].arguments = ("a", lambda doc: video, CAPTION, 0, "some_task", "test")
    with pytest.raises(RuntimeError, match=r"document 0: ValueError: .*'video'.*only text and images"):
        model.generate_until(request)


def other_images(load, monkeypatch, docs, size, **arguments):
    """The other image that each document was contrasted with, by its text and own image."""
    model = load("llava_cicd", batch_size=size, **arguments)
    seen = {}

    def generate_in(session, conversations, **_):
        images = list(session.other_images or [])
        for conversation in conversations:
            own = [part["image"] for part in conversation[0]["content"] if part["type"] == "image"]
            text = conversation[0]["content"][-1]["text"]
            seen[(text, *(image.tobytes() for image in own))] = [images.pop(0).tobytes() for _ in own]
        assert not images
        return [generation.Generation("yes", 1, 1) for _ in conversations]

    monkeypatch.setattr(generation, "generate_in", generate_in)
    model.generate_until(requests(model, docs))
    return seen


def test_the_other_image_is_another_one_of_the_task_whatever_the_batch(load, monkeypatch, recovery):
    docs = [*DOCS, {"image": None, "text": "No image here."}, {"image": 3, "text": "The image of document 3 again."}]
    chosen = other_images(load, monkeypatch, docs, 1)
    of_task = {picture(doc["image"]).tobytes() for doc in docs if doc["image"] is not None}
    assert chosen.pop(("No image here.",)) == []
    assert len(chosen) == len(docs) - 1
    for (_, own), others in chosen.items():
        assert len(others) == 1 and others[0] in of_task - {own}
    assert len({others[0] for others in chosen.values()}) > 5, "not one image for all"
    batched = other_images(load, monkeypatch, docs, 4)
    assert {key: value for key, value in batched.items() if len(key) > 1} == chosen
    assert {k: v for k, v in other_images(load, monkeypatch, docs, 4, seed=1).items() if len(k) > 1} != chosen


def test_the_least_similar_image_is_the_furthest_in_the_models_own_features(load, monkeypatch, recovery):
    chosen = other_images(load, monkeypatch, DOCS, 4, pick="least_similar")
    host = load("llava_base", batch_size=8).host
    features = {}
    for doc in DOCS:
        pixels = host.processor.image_processor([picture(doc["image"])], return_tensors="pt")["pixel_values"]
        mean = host.model.get_image_features(pixels).pooler_output[0].mean(dim=0)
        features[picture(doc["image"]).tobytes()] = mean / mean.norm()
    for (_, own), (other,) in chosen.items():
        cosines = {
            image: float((features[own] @ feature).detach()) for image, feature in features.items() if image != own
        }
        assert cosines[other] <= sorted(cosines.values())[1], "100 draws of 18 documents leave out one at most"
    assert chosen != other_images(load, monkeypatch, DOCS, 4)


def test_contrasting_answers_do_not_depend_on_the_batch_size(load):
    results = [texts((m := load("llava_cicd", batch_size=size)).generate_until(requests(m, DOCS))) for size in (1, 8)]
    plain = load("llava_base", batch_size=8)
    assert results[0] == results[1] != texts(plain.generate_until(requests(plain, DOCS)))


@pytest.mark.parametrize("name", ["llava_cicd", "llava_sevi"])
def test_a_contrast_on_a_task_of_one_document_is_refused_before_generation(load, name, monkeypatch):
    model = load(name, batch_size=4)
    monkeypatch.setattr(model.host.model, "generate", lambda **_: pytest.fail("it generated"))
    with pytest.raises(ValueError, match="contrasts with another image.*only one document"):
        model.generate_until(requests(model, DOCS[:1]))


def test_sevi_without_its_contrast_runs_on_one_document(load):
    model = load("llava_sevi", batch_size=4, cicd=False)
    assert texts(model.generate_until(requests(model, DOCS[:1])))


def test_a_task_of_one_image_only_has_no_other(load):
    model = load("llava_cicd", batch_size=4)
    with pytest.raises(RuntimeError, match="some_task, split test, document .*no other image"):
        model.generate_until(requests(model, [{"image": 1, "text": text} for text in TEXTS]))


def test_until_cuts_the_answer(load):
    model = load("llava_base", batch_size=4)
    whole = texts(model.generate_until(requests(model, DOCS[:1])))[0]
    word = whole.split()[-1]
    cut = texts(model.generate_until(requests(model, DOCS[:1], {**CAPTION, "until": [word]})))[0]
    assert cut == whole.split(word)[0].strip()


def test_sampling_is_on_where_the_temperature_says_so(load):
    model = load("llava_base", batch_size=4)
    options = {"max_new_tokens": 12, "temperature": 5.0, "until": []}
    torch.manual_seed(0)
    first = texts(model.generate_until(requests(model, DOCS[:4], options)))
    second = texts(model.generate_until(requests(model, DOCS[:4], options)))
    assert first != second


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("llava_vhr", {"alpha": "abc"}, r"vhr: alpha=abc.*number"),
        ("llava_vhr", {"alpha": -1.0}, r"vhr: alpha=-1.*>= 0"),
        ("llava_vhr", {"layers": 40}, r"vhr: layers=40.*layers 0-7"),
        ("llava_vhr", {"alhpa": 2}, r"alhpa=2.*did you mean alpha"),
        ("llava_vhr", {"variant": "official2"}, r"variant=official2.*paper.*official"),
        ("llava_base", {"alpha": 2}, r"alpha=2"),
        ("hallu", {"method": "vhx"}, r"unknown method 'vhx'.*vhr"),
        ("llava_vhr", {"batch_size": "many"}, r"--batch_size many.*whole number"),
        ("llava_vhr", {"trust_remote_code": "no"}, r"trust_remote_code=no is neither true nor false"),
        ("llava_vhr", {"trust_remote_code": "off"}, r"trust_remote_code=off.*allowed: true or false"),
        ("llava_vhr", {"trust_remote_code": "None"}, r"trust_remote_code=None.*allowed: true or false"),
        ("llava_vhr", {"trust_remote_code": 2}, r"trust_remote_code=2"),
        ("llava_sevi", {"cicd": "no"}, r"sevi: cicd=no is neither true nor false"),
        ("llava_iava", {"cumulative": "None"}, r"iava: cumulative=None is neither true nor false"),
        ("llava_vhr", {"dtype": "half"}, r"--model llava_vhr: dtype=half.*bfloat16"),
        ("llava_vhr", {"seed": 1.5}, r"seed=1.5 is not a whole number"),
        ("llava_vhr", {"branch": "both"}, r"branch=both.*paired or sequential"),
        ("llava_vhr", {"revision": 100000.0}, r"revision was read as the number 100000; write it in quotes"),
        ("llava_vhr", {"images": -1.0}, r"images=-1: allowed are all, last"),
        ("llava_vhr", {"batch_size": None}, r"--batch_size None.*whole number"),
        ("llava_vhr", {"pretrained": "/no/such/folder"}, r"pretrained=/no/such/folder: no model configuration"),
    ],
)
def test_bad_arguments_name_argument_value_and_what_is_allowed(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(models, name)(**{"pretrained": "demo", "device": "cpu", **arguments})


def test_values_as_lmms_eval_mangles_them(load):
    model = load(batch_size=4, alpha=3, layers=-1.0)
    assert model.run["parameters"] == "alpha=3,layers=7,top_k=0,variant=paper"


@pytest.mark.parametrize("absent", ["none", "None", " NONE ", None], ids=repr)
def test_none_is_what_holds_where_an_argument_is_not_given(absent, monkeypatch):
    from hallu_models import adapter

    given = {}

    def loading(pretrained, **options):
        given.update(options)
        raise InterruptedError

    monkeypatch.setattr(adapter.model, "load", loading)
    names = ("dtype", "revision", "attn_implementation", "device_map", "quantization")
    with pytest.raises(InterruptedError):
        models.hallu(pretrained="demo", method=absent, device=absent, **dict.fromkeys(names, absent))
    assert {name: given[name] for name in names} == {**dict.fromkeys(names), "dtype": "auto"}
    assert given["trust_remote_code"] is False and given["device"] != "none"


@pytest.mark.parametrize(
    ("given", "switched"), [(True, True), ("True", True), (False, False), ("false", False), (0, False)]
)
def test_remote_code_is_trusted_where_it_says_so(given, switched, monkeypatch):
    from hallu_models import adapter

    def loading(pretrained, *, trust_remote_code, **_):
        raise InterruptedError(trust_remote_code)

    monkeypatch.setattr(adapter.model, "load", loading)
    with pytest.raises(InterruptedError) as caught:
        models.llava_base(pretrained="demo", device="cpu", trust_remote_code=given)
    assert caught.value.args == (switched,)


def test_every_argument_of_the_model_class_has_a_type():
    import inspect

    from hallu_models import adapter
    from registry.arguments import model_args

    own = set(inspect.signature(adapter.HalluModel.__init__).parameters)
    assert own - {"self", "batch_size", "max_batch_size", "parameters"} == set(model_args.MODEL)
    assert set(model_args.LOADING) | {"quantization"} == set(inspect.signature(adapter.model.load).parameters)


def test_the_generic_id(load):
    model = load("hallu", method="vhr", alpha=2)
    assert texts(model.generate_until(requests(model, DOCS[:4]))) == texts(
        (v := load(batch_size=4)).generate_until(requests(v, DOCS[:4]))
    )
    with pytest.raises(ValueError, match="pretrained"):
        models.hallu(method="vhr")


def test_a_checkpoint_of_another_family_is_refused(tmp_path, monkeypatch):
    from hallu_models import adapter

    real = adapter.model.load

    def other_family(*arguments, **options):
        host = real(*arguments, **options)
        object.__setattr__(host, "family", "blip")
        return host

    monkeypatch.setattr(adapter.model, "load", other_family)
    with pytest.raises(ValueError, match=r"llava_vhr.*not of the family llava; use --model blip_vhr"):
        models.llava_vhr(pretrained="demo", device="cpu")


def test_an_unknown_id_has_near_matches():
    with pytest.raises(AttributeError, match="llava_vhr"):
        _ = models.llava_vrh


def test_settings_reach_the_results_file(load):
    class Arguments:
        pass

    class Task:
        args = Arguments()

        def doc_to_messages(self, doc):
            return messages(doc)

    model = load(batch_size=4)
    request = requests(model, DOCS[:1])
    request[0].arguments = (request[0].args[0], Task().doc_to_messages, *request[0].args[2:])
    model.generate_until(request)
    assert Task.args.hallu["parameters"] == "alpha=2,layers=1+4-7,top_k=0,variant=paper"
    assert set(Task.args.hallu["versions"]) == {"lmms-eval-hallu", "lmms-eval", "transformers", "torch"}


def test_clean_gives_the_model_back():
    model = models.llava_base(pretrained="demo", device="cpu")
    model.clean()
    assert not any(isinstance(value, torch.nn.Module) or name == "host" for name, value in vars(model).items())
