"""AD-HH's heads: those without which hallucinated objects become less likely, and real ones do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.calibrate.finding import Finding
from hallu_models.diagnostics import mentions
from hallu_models.diagnostics.flow import watched
from hallu_models.diagnostics.readings import progress
from hallu_models.diagnostics.subjects import Subject
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.inputs import with_answer
from hallu_models.interventions import ad_hh
from hallu_models.loading import Host

FEWEST = 8
"""Captions with a hallucinated object below which an interval says nothing."""

MOST = 20
"""Heads in a preset at most: the number of the paper's for LLaVA-1.5-7B."""

SHOWN = 20
AT_ONCE = 8
"""Heads that are silenced in one forward, each in a row of its own."""

RULE = (
    "The plain model's greedy captions are read again with the output of one head set to zero at every position, each "
    "head in turn. In a caption with hallucinated objects, a head's score is the mean fall in log-probability of the "
    "tokens that name these, minus that of the tokens that name real objects. Heads are chosen where the 95 % interval "
    f"of the mean score over the captions (1.96 standard errors to either side) lies above 0, at most {MOST}, the "
    "highest first."
)


def find(host: Host, subjects: Sequence[Subject], max_new_tokens: int = 64) -> Finding:
    """Heads by zero-ablation.

    Raises ValueError for subjects whose objects are not known, and where too few captions hallucinate.
    """
    require_objects(subjects)
    scores = [
        score
        for subject in progress(subjects, "caption")
        if (score := influence(host, subject, max_new_tokens)) is not None
    ]
    require_enough(len(scores), len(subjects))
    return standing(np.stack(scores))


def require_objects(subjects: Sequence[Subject]) -> None:
    """Raises ValueError where the objects in an image are not known."""
    if any(subject.objects is None for subject in subjects):
        raise ValueError(
            "which words are hallucinated shows only where the objects in the image are known: give "
            '"objects": ["cat", "dining table"] (COCO categories) with every line of --captions'
        )


def require_enough(found: int, of: int) -> None:
    """Raises ValueError where too few captions hallucinate."""
    if found < FEWEST:
        raise ValueError(
            f"{found} of {of} captions name an object that is not there, too few to tell heads apart; "
            f"give more prompts, so that at least {FEWEST} do"
        )


def standing(scores: np.ndarray) -> Finding:
    """From the scores (N, L, H) of N captions."""
    mean = scores.mean(axis=0)
    error = 1.96 * scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
    order = [divmod(int(place), mean.shape[1]) for place in np.argsort(-mean, axis=None, kind="stable")]
    chosen = [place for place in order if mean[place] > error[place]][:MOST]
    rows = [
        (
            ad_hh.spell([place]),
            f"{mean[place]:.3f} [{mean[place] - error[place]:.3f}, {mean[place] + error[place]:.3f}]",
            "chosen" if place in chosen else "",
        )
        for place in order[:SHOWN]
    ]
    return Finding(
        {"heads": ad_hh.spell(chosen)} if chosen else {},
        len(scores),
        {ad_hh.spell([place]): round(float(mean[place]), 4) for place in chosen},
        ("HEAD", "SCORE", ""),
        rows,
    )


def influence(host: Host, subject: Subject, max_new_tokens: int) -> np.ndarray | None:
    """Scores (L, H) of all heads on the plain model's caption; None where it names nothing that is not there."""
    tokens, wrong, right = captioned(host, subject, max_new_tokens)
    if not wrong:
        return None
    inputs = with_answer(processing.encode(host, [subject.conversation()] * AT_ONCE), tokens)
    plain = _likelihoods(host, inputs, tokens)[0]
    scores = np.zeros((host.depth, host.heads))
    for layer in range(host.depth):
        for first in range(0, host.heads, AT_ONCE):
            silent = range(first, min(first + AT_ONCE, host.heads))
            fall = (plain - _likelihoods(host, inputs, tokens, layer, silent)).cpu().numpy()
            for head, one in zip(silent, fall):
                scores[layer, head] = one[wrong].mean() - (one[right].mean() if right else 0.0)
    return scores


def captioned(host: Host, subject: Subject, max_new_tokens: int) -> tuple[list[int], list[int], list[int]]:
    """The plain model's caption, and the places of tokens in it that name what is not there, and what is."""
    (made,) = host.generate([subject.conversation()], max_new_tokens=max_new_tokens)
    tokens = list(made.token_ids)
    marks = mentions.marks(host.tokens, tokens, subject.objects)
    wrong, right = ([n for n, mark in enumerate(marks) if mark == kind] for kind in ("hallucinated", "correct"))
    return tokens, wrong, right


def _likelihoods(
    host: Host, inputs: Mapping[str, Any], tokens: Sequence[int], silent_layer: int = -1, silent: Sequence[int] = ()
) -> Tensor:
    """Log-probabilities (B, T) of the answer's tokens; in each row another head of the layer is silent."""

    def collect(layer: int, call: AttentionCall) -> Tensor:
        outputs = call.outputs()
        if layer == silent_layer:
            outputs = outputs.clone()
            for row, head in enumerate(silent):
                outputs[row, :, head] = 0
        return outputs

    logits = watched(host, inputs, collect)[:, -len(tokens) - 1 : -1].float()
    wanted = torch.tensor(tokens, device=logits.device).expand(len(logits), -1)
    return logits.log_softmax(dim=-1).gather(2, wanted[:, :, None])[:, :, 0]
