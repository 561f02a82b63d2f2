"""How well a text and an image match, and which patches say so: BLIP's image-text matching with GradCAM."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TOKENS = 35
"""Of a text, at most."""

NAMED: dict[str, Callable[[], tuple[Any, Any]]] = {}
"""Models and processors that are made here and not read, by name."""


class Matching:
    """A BLIP model for image-text retrieval and its processor.

    side: height and width of the images that it reads, in pixels.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model.eval().requires_grad_(False), processor
        size = model.config.vision_config.image_size
        self.side: int = size if isinstance(size, int) else size[0]

    def relevance(self, image: Any, text: str, block: int) -> tuple[Tensor, float]:
        """GradCAM (h, w) over the patches, averaged over the text's tokens, and the cosine of text and image.

        block: whose cross-attention is looked at. Raises ValueError for one that the model lacks.
        """
        model, layers = self._model, self._model.text_encoder.encoder.layer
        if block >= len(layers):
            raise ValueError(f"block={block}: the matching model has {len(layers)} blocks; give one below")
        # What reads the prompt may be under inference mode, where there are no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            ids = self._ids(text)
            pixels = self._processor.image_processor(images=image, return_tensors="pt")["pixel_values"]
            seen = model.vision_model(pixel_values=pixels.to(model.device)).last_hidden_state
            maps: list[Tensor] = []

            def keep(_: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
                maps.append(output.detach().requires_grad_())
                return maps[-1]

            hook = layers[block].crossattention.self.dropout.register_forward_hook(keep)
            try:
                states = model.text_encoder(input_ids=self._encoding(ids), encoder_hidden_states=seen).last_hidden_state
            finally:
                hook.remove()
            match = model.itm_head(states[:, 0])[0, 1]
            (gradient,) = torch.autograd.grad(match, maps)
            relevant = (maps[0].detach() * gradient.clamp(min=0))[0, :, 1:-1, 1:].mean(dim=0).mean(dim=0)
            alone = model.text_encoder(input_ids=ids).last_hidden_state
            features = (model.vision_proj(seen[0, 0]), model.text_proj(alone[0, 0]))
            cosine = torch.nn.functional.cosine_similarity(*features, dim=0)
        height = pixels.shape[2] // self._patch
        return relevant.view(height, -1).nan_to_num().cpu(), float(cosine)

    @property
    def _patch(self) -> int:
        size = self._model.config.vision_config.patch_size
        return size if isinstance(size, int) else size[0]

    def _ids(self, text: str) -> Tensor:
        """(1, T) of a text in small letters and without most punctuation, as BLIP's captions are."""
        plain = re.sub(r"[.!\"()*#:;~]", " ", text.lower())
        words = " ".join(plain.split()[:50])
        given = self._processor.tokenizer(words, truncation=True, max_length=TOKENS, return_tensors="pt")
        return given["input_ids"].to(self._model.device)  # type: ignore[no-any-return]

    def _encoding(self, ids: Tensor) -> Tensor:
        """The ids with the token in front that stands for encoding an image, the one after the decoder's."""
        token = self._model.config.text_config.bos_token_id + 1
        return torch.cat([torch.full_like(ids[:, :1], token), ids[:, 1:]], dim=1)


@functools.cache
def load(name: str) -> Matching:
    """The model of a Hub id or folder, on the first accelerator in float32. Raises ValueError where there is none."""
    with torch.inference_mode(False):
        if name in NAMED:
            return Matching(*NAMED[name]())
        from transformers import BlipForImageTextRetrieval, BlipProcessor

        try:
            model = BlipForImageTextRetrieval.from_pretrained(name, dtype=torch.float32)
            processor = BlipProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"itm={name}: no BLIP image-text retrieval model was read from there "
                f"({str(error).splitlines()[0]}); give a folder, or a Hub id such as Salesforce/blip-itm-large-coco"
            ) from error
        return Matching(model.to("cuda" if torch.cuda.is_available() else "cpu"), processor)
