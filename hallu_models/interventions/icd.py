"""ICD: instruction contrastive decoding (arXiv 2403.18715, Findings of ACL 2024).

A role such as that of a confused object detector makes a model hallucinate more. What it says in this role is
subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hallu_models.interventions import (
    Conversation,
    Intervention,
    LogitsStep,
    Negative,
    Prompt,
    contrasted,
    jensen_shannon,
    layers,
)


@dataclass(frozen=True)
class ICD(Intervention):
    """Contrast with the prediction for the same image and question under a disturbing role.

    alpha: strength; 0 is the plain model. beta: plausibility. role: the disturbing text. qformer: where the role goes.
        "same": it is the system text of the prompt, whoever reads that. "replace", "prefix": a Q-Former (InstructBLIP)
        is told the role in the place of the question or in front of it, and the language model's prompt stays.
    """

    name: ClassVar[str] = "icd"

    layers: layers.LayerSpec = ""
    alpha: float = 1.0
    beta: float = 0.1
    role: str = "You are a confused objects detector to provide a fuzzy overview or impression of the image."
    qformer: Literal["same", "replace", "prefix"] = "same"

    def rewrite(self, messages: Conversation) -> Conversation:
        role = {"type": "text", "text": self.role}
        if self.qformer == "replace":
            parts = [
                part for message in messages if not isinstance(message["content"], str) for part in message["content"]
            ]
            return [{"role": "user", "content": [*(part for part in parts if part["type"] == "image"), role]}]
        return [{"role": "system", "content": [role]}, *(one for one in messages if one["role"] != "system")]

    def negative(self, prompt: Prompt) -> Negative:
        run = prompt.run
        inputs = run.rewritten(self.name)[0] if self.qformer == "same" else run.rewritten_for_qformer(self.name)
        return Negative(inputs, prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if at.record:
            at.record("jsd", jensen_shannon(logits, negative))
        return contrasted(logits, negative, self.alpha, self.beta)
