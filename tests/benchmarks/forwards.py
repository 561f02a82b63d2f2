"""What a method costs in a forward pass: the prefill of a prompt with its image, and one decode step."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from pairs import Bound, Row, pairs, ratio_row
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
)

import hallu_models
from hallu_models import loading, processing
from hallu_models.hosts import forward
from hallu_tasks.demo import task as demo

BOUNDS = {
    ("vhr", "decode step"): 1.05,
    ("vhr", "prefill"): 1.25,
    ("eah", "decode step"): 1.02,
    ("dleaf", "decode step"): 1.15,
    ("sevi without cicd", "decode step"): 1.15,
    **{(name, "decode step"): 1.10 for name in ("pai without contrast", "hgai", "tarac", "sparc", "vaf", "var")},
    **{(name, "decode step"): 1.15 for name in ("vista", "vti", "deco", "dola", "memvr")},
    ("only", "decode step"): 1.20,
    ("nullu", "decode step"): 1.05,
}
"""Largest ratio to the control arm, by arm and measurement."""

PAIRED_BOUND = 1.05
"""Largest ratio of paired rows to the sequential branch."""

IDLE_BOUND = 1.02
DEMO_BATCH = 16
PROMPT = "Please describe this image in detail."
START, IMAGE, FIRST_WORD = 1, 3, 8
TEXT_BEFORE, TEXT_AFTER = 16, 23


@dataclass(frozen=True)
class Arm:
    """A method with its parameters; no method is the plain model, with nothing attached."""

    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    branch: Any = "paired"


NEEDED: Mapping[str, Mapping[str, Any]] = {
    "ad_hh": {"heads": "L0H0"},
    "nullu": {"directions": "random:1"},
    "vti": {"directions": "random:1"},
}
"""Parameters without which a method is refused where nothing was calibrated; what they are costs nothing."""

CONTROL = Arm()
IDLE = Arm("vhr", {"layers": ""})
VARIANTS = {
    "sevi": {"sevi without cicd": Arm("sevi", {"cicd": False})},
    "pai": {"pai without contrast": Arm("pai", {"gamma": 1.0})},
}
"""Further arms of a method."""


@dataclass(frozen=True)
class Times:
    """Seconds of the prefill and of a decode step, each a median."""

    prefill: float
    step: float


@dataclass(frozen=True)
class Scenario:
    """A model and a batch of prompts."""

    name: str
    host: hallu_models.Host
    inputs: Mapping[str, Tensor]
    prefills: int = 1
    """Of which the median counts: more where one is short."""

    @property
    def masked(self) -> bool:
        """Whether a decode step takes a mask. From one, Qwen's forward counts positions of the whole prompt anew."""
        return "image_grid_thw" not in self.inputs

    def answer(self, arm: Arm, steps: int) -> tuple[Times, Tensor]:
        """A prefill and this many decode steps on the same token; and the logits of the prefill and the last step."""
        model, mask = self.host.model, self.inputs["attention_mask"]
        seconds, name = [], forward.cache_parameter(model.forward)
        with torch.inference_mode(), self._attached(arm):
            prefills = []
            for _ in range(self.prefills):
                began = time.perf_counter()
                cache = {name: forward.new_cache(self.host.decoder)}
                prefill = model(**self.inputs, **cache, use_cache=True, logits_to_keep=1)
                prefills.append(time.perf_counter() - began)
            following = prefill.logits[:, -1:].argmax(dim=-1)
            for _ in range(steps):
                mask = torch.nn.functional.pad(mask, (0, 1), value=1)
                began = time.perf_counter()
                step = model(
                    input_ids=following,
                    attention_mask=mask if self.masked else None,
                    **cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                seconds.append(time.perf_counter() - began)
        logits = torch.cat([prefill.logits, step.logits], dim=1)
        return Times(statistics.median(prefills), statistics.median(seconds)), logits

    @contextlib.contextmanager
    def _attached(self, arm: Arm) -> Iterator[None]:
        """The arm's session as an evaluation runs it, with another image and another wording where it reads them."""
        if arm.method is None:
            yield
            return
        other = -self.inputs["pixel_values"]
        with hallu_models.attach(
            self.host, arm.method, observe=False, branch=arm.branch, other_images=other, **arm.parameters
        ) as session:
            session.rewritten = {item.name: self._reworded() for item in session.interventions}
            yield

    def _reworded(self) -> dict[str, Tensor]:
        """The prompt with the text behind the image in reverse order."""
        ids = self.inputs["input_ids"].clone()
        image = torch.isin(ids, torch.tensor(sorted(self.host.image_tokens)))
        behind = int(image.any(dim=0).nonzero().max()) + 1
        ids[:, behind:] = ids[:, behind:].flip(1)
        columns = {name: value for name, value in self.inputs.items() if value.shape == ids.shape}
        return {**columns, "input_ids": ids}

    def decoder_share(self, repeats: int) -> float:
        """The decoder's share of the plain prefill's time; the rest is image encoding, embeddings and lm_head."""
        marks: list[float] = []
        hooks = [
            self.host.decoder.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter())),
            self.host.decoder.register_forward_hook(lambda *_: marks.append(time.perf_counter())),
        ]
        shares = []
        try:
            for _ in range(repeats):
                marks.clear()
                with torch.inference_mode():
                    began = time.perf_counter()
                    self.host.model(**self.inputs, use_cache=True, logits_to_keep=1)
                    total = time.perf_counter() - began
                shares.append((marks[1] - marks[0]) / total)
        finally:
            for hook in hooks:
                hook.remove()
        return statistics.median(shares)

    def description(self, repeats: int) -> str:
        ids = self.inputs["input_ids"]
        image = sum(int((ids[0] == token).sum()) for token in self.host.image_tokens)
        millions = sum(parameter.numel() for parameter in self.host.model.parameters()) / 1e6
        return (
            f"{self.name}: {self.host.depth} layers, {millions:.1f} million parameters; prompt of {ids.shape[1]} "
            f"tokens, {image} of the image; decoder's share of the control's prefill {self.decoder_share(repeats):.0%}"
        )


def demo_scenario() -> Scenario:
    """The demo model on held-out scenes."""
    loaded = hallu_models.load("demo", device="cpu")
    conversations = [hallu_models.conversation(demo.visual({"image_id": n})[0], PROMPT) for n in range(DEMO_BATCH)]
    return Scenario(
        f"demo model, batch {DEMO_BATCH}", loaded, dict(processing.encode(loaded, conversations)), prefills=5
    )


TEXT: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 1024,
    "intermediate_size": 2752,
    "num_attention_heads": 16,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
VISION: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128}
"""Vision towers are as small as can be and vocabularies short, so that the decoder is what is timed."""


def random_llava(layers: int) -> Scenario:
    """LLaVA-1.5's prompt shape at a quarter of its width: 576 image tokens."""
    vision = CLIPVisionConfig(**VISION, num_hidden_layers=1, num_attention_heads=2, image_size=336, patch_size=14)
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT, num_hidden_layers=layers, num_key_value_heads=16),
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        image_seq_length=576,
        tie_word_embeddings=False,
    )
    return _random("LLaVA", LlavaForConditionalGeneration, config, 576, {"pixel_values": (1, 3, 336, 336)})


def random_qwen2_5_vl(layers: int) -> Scenario:
    """Grouped heads and multimodal positions; 576 image tokens of 48 x 48 patches."""
    vision = {"depth": 1, **VISION, "out_hidden_size": 1024, "num_heads": 2, "fullatt_block_indexes": [0]}
    text = {**TEXT, "num_hidden_layers": layers, "num_key_value_heads": 4}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
    config = Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE,
        video_token_id=IMAGE + 1,
        vision_start_token_id=IMAGE + 2,
        vision_end_token_id=IMAGE + 3,
        tie_word_embeddings=False,
    )
    grid = {"image_grid_thw": torch.tensor([[1, 48, 48]])}
    return _random("Qwen2.5-VL", Qwen2_5_VLForConditionalGeneration, config, 576, {"pixel_values": (2304, 1176)}, grid)


def random_internvl(layers: int) -> Scenario:
    """Grouped heads; 512 image tokens of two tiles."""
    vision = InternVLVisionConfig(
        **VISION, num_hidden_layers=1, num_attention_heads=2, image_size=[448, 448], patch_size=[14, 14]
    )
    text = Qwen2Config(**TEXT, num_hidden_layers=layers, num_key_value_heads=4)
    config = InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=256, tie_word_embeddings=False
    )
    return _random("InternVL", InternVLForConditionalGeneration, config, 512, {"pixel_values": (2, 3, 448, 448)})


RANDOM: dict[str, Callable[[int], Scenario]] = {
    "random": random_llava,
    "qwen2_5_vl": random_qwen2_5_vl,
    "internvl": random_internvl,
}
"""Larger models with random weights, by part of the benchmark, made with a number of layers."""


def _random(
    title: str,
    kind: Any,
    config: Any,
    image_tokens: int,
    shapes: Mapping[str, tuple[int, ...]],
    further: Mapping[str, Tensor] = MappingProxyType({}),
) -> Scenario:
    """Random words around one image, batch 1."""
    torch.manual_seed(0)
    loaded = loading.inspect(kind(config).float().eval())
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(FIRST_WORD, TEXT["vocab_size"], (1, TEXT_BEFORE + TEXT_AFTER), generator=generator)
    start, image = torch.full((1, 1), START), torch.full((1, image_tokens), IMAGE)
    ids = torch.cat([start, words[:, :TEXT_BEFORE], image, words[:, TEXT_BEFORE:]], dim=1)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **further}
    inputs |= {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if "mm_token_type_ids" in loaded.inputs:
        inputs["mm_token_type_ids"] = (ids == IMAGE).int()
    return Scenario(f"random {title}, {loaded.depth} layers, batch 1", loaded, inputs)


def rows(scenario: Scenario, methods: Sequence[str], *, steps: int, repeats: int) -> list[Row]:
    """Prefill and decode step of every method, and of an attached method that edits no layer."""
    arms: dict[str, Arm] = {}
    for method in methods:
        arms |= {method: Arm(method, NEEDED.get(method, {})), **VARIANTS.get(method, {})}
    arms["idle"] = IDLE
    refused = _warm_up(scenario, arms, steps)
    measured = pairs(
        lambda: scenario.answer(CONTROL, steps)[0],
        {name: lambda arm=arm: scenario.answer(arm, steps)[0] for name, arm in arms.items() if name not in refused},
        repeats,
        scenario.name,
    )
    return [
        _row(scenario, name, measurement, measured.get(name, []), refused.get(name, ""))
        for name in arms
        for measurement in ("decode step", "prefill")
    ]


def branch_rows(scenario: Scenario, *, steps: int, repeats: int) -> list[Row]:
    """Paired rows against the sequential branch, on CICD."""
    paired, sequential = Arm("cicd"), Arm("cicd", branch="sequential")
    measured = pairs(
        lambda: scenario.answer(sequential, steps)[0],
        {"paired": lambda: scenario.answer(paired, steps)[0]},
        repeats,
        f"{scenario.name}, branches",
    )["paired"]
    return [
        ratio_row(
            f"{measurement}, cicd paired / sequential",
            scenario.name,
            _milliseconds(measured, measurement),
            "ms",
            Bound(PAIRED_BOUND),
        )
        for measurement in ("decode step", "prefill")
    ]


def _milliseconds(times: list[tuple[Times, Times]], measurement: str) -> list[tuple[float, float]]:
    name = "step" if measurement == "decode step" else "prefill"
    return [(1000 * getattr(c, name), 1000 * getattr(a, name)) for c, a in times]


def _row(scenario: Scenario, name: str, measurement: str, times: list[tuple[Times, Times]], reason: str) -> Row:
    label = f"{measurement}, {'attached but idle' if name == 'idle' else name}"
    if reason:
        return Row(label, scenario.name, note=reason)
    limit = IDLE_BOUND if name == "idle" else BOUNDS.get((name, measurement))
    bound = None if limit is None else Bound(limit)
    return ratio_row(label, scenario.name, _milliseconds(times, measurement), "ms", bound)


def _warm_up(scenario: Scenario, arms: Mapping[str, Arm], steps: int) -> dict[str, str]:
    """Run every arm once. Returns the arms that cannot be measured this way, and why.

    A method that leaves all logits as they are does its work in ``generate``; timing its forwards would flatter it.
    """
    _, plain = scenario.answer(CONTROL, steps)
    refused = {}
    for name, arm in arms.items():
        try:
            _, logits = scenario.answer(arm, steps)
        except (ValueError, NotImplementedError) as error:
            refused[name] = str(error)
            continue
        if torch.equal(logits, plain) and arm is not IDLE:
            refused[name] = "plain forwards give the control's logits: it acts in generate only"
        if not torch.equal(logits, plain) and arm is IDLE:
            refused[name] = "it is not idle: its logits are not the control's"
    return refused
