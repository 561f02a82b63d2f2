"""Tokenizers of a few dozen words, with each family's special tokens, made without a network."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = (
    "describe the content of image . what is in picture ? a cat dog bus car tree and on one two many people "
    "user assistant system model you are helpful : red blue green small large near street park kitchen yes no there "
    "question answer short long USER ASSISTANT USER: ASSISTANT: Question: Answer: User: Assistant:"
).split()

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def tokenizer(*special: str, start: bool = True, vocabulary: int = 128, **named: str) -> PreTrainedTokenizerFast:
    """Word-level, left-padding. ``special`` and ``named`` tokens (``image_token="<image>"``) are never split.

    ``start``: whether a prompt begins with the start token. The vocabulary is filled up to ``vocabulary`` entries.
    """
    tokens = list(dict.fromkeys([PAD, START, END, UNKNOWN, *special, *named.values(), *WORDS]))
    assert len(tokens) <= vocabulary, len(tokens)
    tokens += [f"word{number}" for number in range(vocabulary - len(tokens))]
    core = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if start:
        core.post_processor = processors.TemplateProcessing(
            single=f"{START} $A", pair=f"{START} $A $B:1", special_tokens=[(START, 1)]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens=dict(named),
        padding_side="left",
    )
    if special:
        made.add_special_tokens({"additional_special_tokens": list(special)})
    assert len(made) == vocabulary
    return made


def template(image: str, *, message: str = "{role} : {content} ", answer: str = "assistant :", start: str = "") -> str:
    """A chat template: ``message`` with {role} and {content}, ``image`` in the place of a picture."""
    before, _, after = message.partition("{content}")
    role = "{{ message['role'] }}"
    return (
        start
        + "{% for message in messages %}"
        + before.replace("{role}", role)
        + "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% else %} {{ part['text'] }} {% endif %}{% endfor %}"
        + after
        + "{% endfor %}{% if add_generation_prompt %}"
        + answer
        + "{% endif %}"
    )
