"""Loading a model with its processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hallu_models import generation
from hallu_models.conversations import Conversation
from hallu_models.generation import Generation
from hallu_models.hosts import checkpoints, host
from hallu_models.methods import Method


class Host(host.Host):
    """A loaded vision-language model and its processor, which answer conversations."""

    def generate(
        self, conversations: Sequence[Conversation], method: Method = None, **options: Any
    ) -> list[Generation]:
        """Answer a batch of conversations; see :func:`hallu_models.generation.generate`."""
        return generation.generate(self, conversations, method, **options)


def inspect(model: Any, processor: Any = None) -> Host:
    """A model that is loaded already; see :func:`hallu_models.hosts.host.inspect`."""
    return host.inspect(model, processor, of=Host)


def load(
    pretrained: str = "demo",
    *,
    device: str | None = None,
    dtype: str = "auto",
    revision: str | None = None,
    attn_implementation: str | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
    quantization: str | None = None,
) -> Host:
    """Load a model and its processor.

    pretrained: "demo" (shipped with the package), a folder, or a Hub id. device: default the first accelerator, else
    CPU. dtype: "auto" is the checkpoint's own on an accelerator and float32 on CPU. device_map: "auto" spreads one
    large model over all devices. quantization: "8bit" or "4bit", by bitsandbytes on CUDA. Raises ValueError where the
    checkpoint is not an image-text-to-text model.
    """
    model, processor = checkpoints.read(
        pretrained,
        device=device,
        dtype=dtype,
        revision=revision,
        attn_implementation=attn_implementation,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        quantization=quantization,
    )
    return inspect(model, processor)
