"""One thread at a time edits and generates; any other is refused by name, and no generation is half edited."""

from __future__ import annotations

import contextlib
import threading

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models

STEPS = 8
BATCH = prompts(MIXED)


class Worker(threading.Thread):
    """A thread whose result or error is asked for."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(name="worker", daemon=True)
        self._call, self._result, self._error = (function, args, kwargs), None, None
        self.start()

    def run(self):
        function, args, kwargs = self._call
        try:
            self._result = function(*args, **kwargs)
        except BaseException as error:
            self._error = error

    def result(self):
        self.join(30)
        assert not self.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._result


class Paused:
    """A streamer that stops the generation it is given to, at its third token, until it is told to go on."""

    def __init__(self):
        self.tokens, self.there, self.go_on = 0, threading.Event(), threading.Event()

    def put(self, _):
        self.tokens += 1
        if self.tokens == 3:
            self.there.set()
            assert self.go_on.wait(30)

    def end(self):
        pass


def ask(model, **options):
    return model.generate(**BATCH, max_new_tokens=STEPS, do_sample=False, **options)


def ask_one(generate, streamer):
    """A streamer takes a batch of one."""
    row = {"input_ids": BATCH["input_ids"][:1], "attention_mask": BATCH["attention_mask"][:1]}
    return generate(
        **row, pixel_values=BATCH["pixel_values"][:1], max_new_tokens=STEPS, do_sample=False, streamer=streamer
    )


def attach(model):
    return hallu_models.attach(model, "vhr", alpha=3.0, layers="all")


@pytest.fixture
def model(plain_heads):
    """The model, and that it is the plain one again after the test."""
    before = ask(plain_heads)
    yield plain_heads
    assert "generate" not in vars(plain_heads)
    assert torch.equal(ask(plain_heads), before)


@pytest.fixture
def expected(model):
    """Tokens of the plain model and of the method, for the batch and for its first row."""
    with attach(model):
        edited, edited_one = ask(model), ask_one(model.generate, Free())
    return {
        "plain": ask(model),
        "edited": edited,
        "plain one": ask_one(model.generate, Free()),
        "edited one": edited_one,
    }


class Free(Paused):
    def put(self, _):
        pass


def test_the_method_shows(expected):
    assert not torch.equal(expected["plain"], expected["edited"])
    assert not torch.equal(expected["plain one"], expected["edited one"])


def test_a_second_session_in_another_thread_is_refused_by_the_name_of_the_first(model, expected):
    def second():
        with attach(model):
            ask(model)

    with attach(model):
        with pytest.raises(RuntimeError, match=r"thread 'MainThread' has a session on this model.*'worker'"):
            Worker(second).result()
        assert torch.equal(ask(model), expected["edited"]), "the first one is untouched"
    Worker(second).result()


def test_of_threads_that_attach_at_the_same_moment_one_gets_the_model(model, expected):
    start, turn = threading.Barrier(8), threading.Lock()
    made, refused = [], []

    def one():
        start.wait(30)
        try:
            with attach(model):
                answer = ask(model)
            with turn:
                made.append(answer)
        except RuntimeError as error:
            with turn:
                refused.append(str(error))

    for worker in [Worker(one) for _ in range(8)]:
        worker.result()
    assert made and all(torch.equal(answer, expected["edited"]) for answer in made)
    assert len(made) + len(refused) == 8
    assert all("has a session on this model" in text for text in refused)


def test_generate_in_a_thread_that_was_not_handed_the_session_is_refused(model, expected):
    with attach(model):
        with pytest.raises(RuntimeError, match=r"'worker'.*'MainThread'.*session\.generate"):
            Worker(ask, model).result()
        assert torch.equal(ask(model), expected["edited"])


def test_a_forward_in_another_thread_is_refused(model):
    with attach(model), pytest.raises(RuntimeError, match=r"'worker'.*'MainThread'"):
        Worker(model, **BATCH).result()


def test_the_session_generates_in_the_thread_it_was_handed_to(model, expected):
    with attach(model) as session:
        made = Worker(session.generate, **BATCH, max_new_tokens=STEPS, do_sample=False).result()
        assert torch.equal(made, expected["edited"])
        assert torch.equal(ask(model), expected["edited"]), "and afterwards in its own"


def test_while_another_thread_generates_with_the_session_no_third_one_does(model, expected):
    streamer = Paused()
    with attach(model) as session:
        worker = Worker(ask_one, session.generate, streamer)
        assert streamer.there.wait(30)
        with pytest.raises(RuntimeError, match=r"'MainThread'.*'worker'"):
            ask(model)
        streamer.go_on.set()
        assert torch.equal(worker.result(), expected["edited one"])


def test_leaving_the_block_waits_for_a_generation_that_another_thread_has_begun(model, expected):
    streamer, left = Paused(), threading.Event()
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(attach(model))
        worker = Worker(ask_one, session.generate, streamer)
        assert streamer.there.wait(30)
        threading.Timer(0.3, lambda: (left.set(), streamer.go_on.set())).start()
    assert left.is_set(), "the block was not left before the generation could end"
    assert torch.equal(worker.result(), expected["edited one"]), "edited to its end"


def test_leaving_the_block_with_an_error_ends_the_generation_of_the_other_thread_by_name(model):
    streamer, workers = Paused(), []

    def left_by_an_error():
        with attach(model) as session:
            workers.append(Worker(ask_one, session.generate, streamer))
            assert streamer.there.wait(30)
            threading.Timer(0.3, streamer.go_on.set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        left_by_an_error()
    with pytest.raises(RuntimeError, match=r"the session of 'vhr' .*left"):
        workers[0].result()


def test_a_session_whose_block_was_left_generates_nothing(model):
    with attach(model) as session:
        pass
    with pytest.raises(RuntimeError, match=r"the session of 'vhr' .*left"):
        session.generate(**BATCH, max_new_tokens=1)


def test_a_plain_generation_that_another_thread_has_begun_is_refused_not_half_edited(model, expected):
    streamer = Paused()
    worker = Worker(ask_one, model.generate, streamer)
    assert streamer.there.wait(30)
    with attach(model):
        streamer.go_on.set()
        with pytest.raises(RuntimeError, match=r"'worker'.*'MainThread'"):
            worker.result()
        assert torch.equal(ask(model), expected["edited"])


def test_threads_with_a_model_each_do_not_meet(expected):
    from conftest import tiny_llava

    def one(own):
        with attach(own):
            return ask(own)

    models = [tiny_llava(4) for _ in range(2)]
    for _ in range(8):
        workers = [Worker(one, own) for own in models]
        assert all(torch.equal(worker.result(), expected["edited"]) for worker in workers)
