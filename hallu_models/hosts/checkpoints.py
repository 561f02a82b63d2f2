"""Reading a checkpoint: model and processor."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from hallu_models.hosts.host import UnsupportedModel
from registry.model_families import family

DEMO = Path(__file__).parents[1] / "demo" / "checkpoint"


def read(
    pretrained: str,
    *,
    device: str | None,
    dtype: str,
    revision: str | None,
    attn_implementation: str | None,
    device_map: str | None,
    trust_remote_code: bool,
    quantization: str | None,
) -> tuple[Any, Any]:
    """Model and processor; arguments and errors are those of :func:`hallu_models.load`."""
    source = str(DEMO) if pretrained == "demo" else pretrained
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(source, **common)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"pretrained={pretrained}: no model configuration there ({str(error).splitlines()[0]}). "
            "Allowed: demo, a folder with a checkpoint, or a Hub id that is reachable or cached"
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not trust_remote_code:
        raise UnsupportedModel(
            f"pretrained={pretrained}: model type '{config.model_type}' is not an image-text-to-text model in "
            f"transformers {transformers.__version__}; known families: {', '.join(family.load())}"
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto" and device == "cpu" and device_map is None:
        dtype = "float32"
    if quantization is not None:
        common["quantization_config"] = _quantized(quantization)
        device_map = device_map or device
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        source, config=config, dtype=dtype, attn_implementation=attn_implementation, device_map=device_map, **common
    )
    common.pop("quantization_config", None)
    if device_map is None:
        model.to(device)
    processor = transformers.AutoProcessor.from_pretrained(source, **common)
    return model.eval(), processor


def _quantized(quantization: str) -> Any:
    """Raises ValueError for an unknown width, and where bitsandbytes or a CUDA device is missing."""
    if quantization not in ("8bit", "4bit"):
        raise ValueError(f"quantization={quantization}: allowed are 8bit and 4bit")
    missing = [] if importlib.util.find_spec("bitsandbytes") else ["the package bitsandbytes"]
    missing += [] if torch.cuda.is_available() else ["a CUDA device"]
    if missing:
        raise ValueError(
            f"quantization={quantization} needs {' and '.join(missing)}; leave it out, or choose dtype=bfloat16"
        )
    if quantization == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
