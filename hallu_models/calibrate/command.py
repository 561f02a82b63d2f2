"""``hallu calibrate``: measure a model, suggest a method's layers, and write them as a preset file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import layers, listing
from registry.preset_file import ENDING, PresetFile

if TYPE_CHECKING:
    from hallu_models.calibrate.vision_layers import Standing
    from hallu_models.diagnostics.subjects import Subject

METHODS = ("vhr",)
EPILOG = """\
the rule for vhr:
  At the first answer token of the plain model, the heads that VHR would reinforce are compared with and without the
  image. A layer's score is the mean divergence of these heads, in units of the prompt's median layer. Layers whose
  score lies above 1 are chosen, with a 95 % interval over the prompts that excludes 1. Heads are VHR's own choice, made
  for each prompt; those it makes on nine of ten prompts are printed.

its limits:
  The rule sees where a model looks, not whether looking harder helps. Divergence is measured in the units of the
  hidden states; where these grow with depth, late layers are favoured. Alpha stays what it is. Compare the preset with
  the plain model on a task before believing in it: hallu compare results/llava_base results/llava_vhr.
  Without --captions, scenes are drawn as for the demo model; a model of photographs should see photographs.

examples:
  hallu calibrate --method vhr --output demo.yaml
  lmms-eval --model llava_vhr --model_args pretrained=demo,preset=demo.yaml --tasks hallu_demo
  hallu calibrate --method vhr --model_args pretrained=FOLDER --captions photos.jsonl --output photos.yaml
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu calibrate``."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--method", required=True, help=f"the method to find settings for: {', '.join(METHODS)}")
    parser.add_argument("--model_args", default="pretrained=demo", help="the checkpoint, as for lmms-eval")
    parser.add_argument(
        "--captions", type=Path, help='JSON lines {"image": "cat.jpg", "prompt": "..."}; captions in it are not needed'
    )
    parser.add_argument("--limit", type=int, help="how many prompts (default: all of --captions, or 64 scenes)")
    parser.add_argument("--output", type=Path, help="the preset file to write, *.yaml")
    listing.add_json(parser)


def run(given: argparse.Namespace) -> int:
    """``hallu calibrate``."""
    host_arguments = _checked(given)
    subjects = _subjects(given)

    from hallu_models import host
    from hallu_models.calibrate import vision_layers

    loaded = host.load(**host_arguments)
    found = vision_layers.measure(loaded, subjects)
    if not found.chosen and given.output is not None:
        raise ValueError(
            f"no layer stands out over {len(subjects)} prompts, so there is nothing to write; more prompts narrow the "
            "intervals, and without a preset file the card's layers are used"
        )
    preset = PresetFile(
        given.method,
        host_arguments.get("pretrained", "demo"),
        loaded.depth,
        {"layers": layers.spell(found.chosen)},
        f"{vision_layers.RULE} Measured on {len(subjects)} prompts ({given.captions or 'drawn scenes'}); scores below.",
        {f"layer {layer}": round(float(score), 3) for layer, score in enumerate(found.score)},
    )
    if given.output is not None:
        given.output.write_text(preset.text(), encoding="utf-8")
    if given.json:
        listing.print_json(preset)
    else:
        print(_table(found))
        print(f"layers={preset.parameters['layers'] or 'none'}, over {len(subjects)} prompts")
        if given.output is not None:
            model, extra = (
                (f"{loaded.family}_{given.method}", "") if loaded.family else ("hallu", f"method={given.method},")
            )
            used = f"pretrained={preset.model},{extra}preset={given.output}"
            print(f"wrote {given.output}; use it with --model {model} --model_args {used}")
    return 0


def _checked(given: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the model's loading; everything that can be wrong without a model is."""
    from hallu_models.diagnostics.command import HOST_ARGUMENTS

    if given.method not in METHODS:
        raise ValueError(
            f"--method {given.method}: nothing is known to measure for it; allowed: {', '.join(METHODS)}. Other "
            "methods take their layers from the card or from --model_args layers=..."
        )
    if given.limit is not None and given.limit < 1:
        raise ValueError(f"--limit {given.limit}: a whole number of at least 1")
    if given.output is not None and given.output.suffix != ENDING:
        raise ValueError(f"--output {given.output}: a preset file's name ends in {ENDING}")
    if given.output is not None and not given.output.absolute().parent.is_dir():
        raise ValueError(f"--output {given.output}: the folder {given.output.absolute().parent} does not exist")
    parts = [part.partition("=") for part in given.model_args.split(",") if part]
    for name, _, value in parts:
        if name not in HOST_ARGUMENTS or not value:
            raise ValueError(f"--model_args {name}: expected name=value with {', '.join(HOST_ARGUMENTS)}")
    chosen: dict[str, Any] = {name: value for name, _, value in parts}
    if "trust_remote_code" in chosen:
        chosen["trust_remote_code"] = chosen["trust_remote_code"].lower() in ("1", "true", "yes")
    return chosen


def _subjects(given: argparse.Namespace) -> list[Subject]:
    from hallu_models.calibrate import prompts

    if given.captions is None:
        return prompts.drawn(given.limit or prompts.SCENES)
    return prompts.of_file(given.captions, given.limit)


def _table(found: Standing) -> str:
    rows = [
        (
            str(layer),
            f"{found.score[layer]:.2f} [{found.low[layer]:.2f}, {found.high[layer]:.2f}]",
            "chosen" if layer in found.chosen else "",
            ", ".join(map(str, found.steady[layer])) or "none",
        )
        for layer in range(len(found.score))
    ]
    return listing.table(("LAYER", "SCORE", "", "STEADY HEADS"), rows)
