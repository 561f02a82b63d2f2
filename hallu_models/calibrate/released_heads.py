"""AD-HH's heads as the released code ranks them: by probabilities, silenced for a single token, pooled over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hallu_models import processing
from hallu_models.calibrate.finding import Finding
from hallu_models.calibrate.hallucination_heads import AT_ONCE, SHOWN, captioned, require_enough, require_objects
from hallu_models.diagnostics.flow import watched
from hallu_models.diagnostics.readings import progress
from hallu_models.diagnostics.subjects import Subject
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.inputs import with_answer
from hallu_models.interventions import ad_hh
from hallu_models.loading import Host

MOST = 30
"""Heads in a preset, as many as the released code keeps."""

RULE = (
    "As the released code ranks heads: in the plain model's greedy captions that name an object which is not there, "
    "the output of one head is set to zero where one token is predicted, each head in turn and each token that names "
    "an object; what was read before stays as it is. A head's score is the mean fall in probability over the tokens "
    f"that name hallucinated objects, minus that over the tokens that name real ones. The {MOST} highest are taken, "
    "without a test. The released code looks for the first token of an object's word, and this for the one that "
    "completes it."
)


def find(host: Host, subjects: Sequence[Subject], max_new_tokens: int = 128) -> Finding:
    """The heads without which hallucinated objects become less probable than real ones do.

    Raises ValueError for subjects whose objects are not known, and where too few captions hallucinate.
    """
    require_objects(subjects)
    wrong: list[np.ndarray] = []
    right: list[np.ndarray] = []
    captions = 0
    for subject in progress(subjects, "caption"):
        tokens, hallucinated, correct = captioned(host, subject, max_new_tokens)
        if hallucinated:
            captions += 1
            for places, falls in ((hallucinated, wrong), (correct, right)):
                falls += [influence(host, subject, tokens, place) for place in places]
    require_enough(captions, len(subjects))
    return standing(np.stack(wrong), np.stack(right) if right else np.zeros_like(wrong[:1]), captions)


def standing(wrong: np.ndarray, right: np.ndarray, captions: int) -> Finding:
    """From the falls in probability (N, L, H) of tokens that name hallucinated objects, and real ones."""
    score = wrong.mean(axis=0) - right.mean(axis=0)
    order = [divmod(int(place), score.shape[1]) for place in np.argsort(-score, axis=None, kind="stable")]
    chosen = order[:MOST]
    return Finding(
        {"heads": ad_hh.spell(chosen)},
        captions,
        {ad_hh.spell([place]): round(float(score[place]), 4) for place in chosen},
        ("HEAD", "SCORE", ""),
        [(ad_hh.spell([place]), f"{score[place]:.4f}", "chosen") for place in order[:SHOWN]],
    )


def influence(host: Host, subject: Subject, tokens: Sequence[int], place: int) -> np.ndarray:
    """(L, H) how much less probable the token at a place of the caption becomes without each head."""
    inputs = dict(processing.encode(host, [subject.conversation()] * AT_ONCE))
    if place:
        inputs = with_answer(inputs, tokens[:place])
    plain = _probabilities(host, inputs, tokens[place])[0]
    falls = np.zeros((host.depth, host.heads))
    for layer in range(host.depth):
        for first in range(0, host.heads, AT_ONCE):
            silent = range(first, min(first + AT_ONCE, host.heads))
            left = _probabilities(host, inputs, tokens[place], layer, silent, place > 0)
            falls[layer, list(silent)] = (plain - left[: len(silent)]).cpu().numpy()
    return falls


def _probabilities(
    host: Host,
    inputs: Mapping[str, Any],
    token: int,
    silent_layer: int = -1,
    silent: Sequence[int] = (),
    last_alone: bool = True,
) -> Tensor:
    """Probabilities (B,) of a token behind the inputs; in each row another head of the layer is silent.

    last_alone: at the last position, which is all that a forward on a cache reads; the first token's reads the prompt.
    """
    where = slice(-1, None) if last_alone else slice(None)

    def collect(layer: int, call: AttentionCall) -> Tensor:
        outputs = call.outputs()
        if layer == silent_layer:
            outputs = outputs.clone()
            for row, head in enumerate(silent):
                outputs[row, where, head] = 0
        return outputs

    return watched(host, inputs, collect)[:, -1].float().softmax(dim=-1)[:, token]
