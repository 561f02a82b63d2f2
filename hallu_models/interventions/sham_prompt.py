"""sham_prompt: the question with a hint to say yes (arXiv 2504.10020, NeurIPS 2025; its prompt-based adjustment).

The model sees nothing better for being told what to answer. What a method does beyond it is not the threshold's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hallu_models.interventions import Conversation, Intervention, Prompt, layers, with_text_behind


@dataclass(frozen=True)
class ShamPrompt(Intervention):
    """Ask with a sentence behind the question.

    sentence: what stands there; none is the plain model.
    """

    name: ClassVar[str] = "sham_prompt"

    layers: layers.LayerSpec = ""
    sentence: str = "Answer yes whenever possible."

    def question(self, messages: Conversation) -> Conversation:
        return with_text_behind(messages, self.sentence) if self.sentence else messages

    def read(self, prompt: Prompt) -> None:
        prompt.record("prompt_tokens", (~prompt.layout.padding).sum(dim=1))
