"""``hallu calibrate``: measure a model, and write a method's layers or heads as a preset file, or its directions."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.arguments.preset_file import ENDING, PresetFile
from registry.commands import listing

if TYPE_CHECKING:
    from hallu_models.calibrate.finding import Finding

RULES = {
    "vhr": {"ours": "hallu_models.calibrate.vision_layers"},
    "ad_hh": {
        "ours": "hallu_models.calibrate.hallucination_heads",
        "official": "hallu_models.calibrate.released_heads",
    },
    "nullu": {"ours": "hallu_models.calibrate.hallucination_subspace"},
    "vti": {"ours": "hallu_models.calibrate.faithful_directions"},
}
"""The module by method and variant: ``find(host, subjects)`` gives a finding, ``RULE`` says how."""
VARIANTS = ("ours", "official")
OF_PAIRS = ("nullu", "vti")
"""Methods whose rule takes pairs of captions, and gives directions."""
DIRECTIONS = ".safetensors"
EPILOG = """\
the rule for vhr:
  At the first answer token of the plain model, the heads that VHR would reinforce are compared with and without the
  image. A layer's score is the mean divergence of these heads, in units of the prompt's median layer. Layers whose
  score lies above 1 are chosen, with a 95 % interval over the prompts that excludes 1. Heads are VHR's own choice, made
  for each prompt; those it makes on nine of ten prompts are printed.

the rule for ad_hh:
  The plain model's captions are read again with one head silenced, each in turn. A head's score in a caption is how
  much less likely that makes hallucinated objects, minus the same for real ones. Heads are chosen whose score has a
  95 % interval above 0, at most 20. It reads every caption once a head, and needs to know the objects in the images.

the rule for ad_hh with --variant official:
  As the released code ranks heads. One head is silenced where one token is predicted, and in no position before. A
  head's score is how much less probable that makes the tokens that name hallucinated objects, minus the same for real
  ones, each a mean over all such tokens of the captions that hallucinate. The 30 highest are taken, whatever they are.
  It reads a caption once a head and named object, so it takes several times as long.

the rule for nullu:
  Every image is read with a faithful caption and with a hallucinated one. In each layer the difference of the hidden
  states, averaged over all positions, is a row of a matrix, and its first singular vectors are the directions that
  Nullu takes out. The table shows how long the differences are, and what share of their squares 1, 4 and 8 directions
  hold: where 4 hold little, there is no common direction to take out. The file has 16 for each layer; rank= says how
  many are used. --captions needs pairs here:
  {"image": "cat.jpg", "prompt": "...", "faithful": "A cat on a mat.", "hallucinated": "A cat and a dog on a mat."}

the rule for vti:
  The same pairs, the hidden states at the last position. The mean difference, plus its first principal component, is
  the direction that VTI turns states along. The table shows how long the mean is in each layer, and its mean cosine
  with a single pair's difference: near 0, the pairs have nothing in common. In the image encoder the directions lead
  from a picture's states to those of 50 copies that hide 99 % of its patches; they are left out where pictures are cut
  into tiles or have no fixed number of positions, and there alpha_image has to stay 0.

their limits:
  VHR's rule sees where a model looks, not whether looking harder helps. Divergence is measured in the units of the
  hidden states; where these grow with depth, late layers are favoured. Alpha stays what it is. AD-HH's rule tests many
  heads at once and corrects for none of them, so a chosen head may be chance. Compare the preset with the plain model
  on a task before believing in it: hallu compare results/llava_base results/llava_vhr.
  Directions hold whatever tells the two captions apart, their length and style too: let pairs differ in the named
  objects alone, and compare with directions=random:1, which takes out as much and knows nothing.
  Without --captions, scenes are drawn as for the demo model; a model of photographs should see photographs.

where it goes:
  preset=FILE in --model_args uses a file. One named presets/METHOD.yaml in the checkpoint's own folder is used by
  itself, and the log says so; the demo model has some.

examples:
  hallu calibrate --method vhr --output demo.yaml
  lmms-eval --model llava_vhr --model_args pretrained=demo,preset=demo.yaml --tasks hallu_demo
  hallu calibrate --method ad_hh --model_args pretrained=FOLDER --captions photos.jsonl --output photos.yaml
  hallu calibrate --method nullu --output demo.safetensors
  lmms-eval --model llava_nullu --model_args pretrained=demo,directions=demo.safetensors --tasks hallu_demo
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu calibrate``."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--method", required=True, help=f"the method to find settings for: {', '.join(RULES)}")
    parser.add_argument(
        "--variant",
        choices=VARIANTS,
        default="ours",
        help="official: as the method's released code measures it, where it does (%(default)s)",
    )
    parser.add_argument("--model_args", default="pretrained=demo", help="the checkpoint, as for lmms-eval")
    parser.add_argument(
        "--captions",
        type=Path,
        help='JSON lines {"image": "cat.jpg", "prompt": "...", "objects": ["cat"]}; captions in it are not needed, '
        "objects only for ad_hh; pairs of captions for nullu and vti, see below",
    )
    parser.add_argument("--limit", type=int, help="how many prompts (default: all of --captions, or 64 scenes)")
    parser.add_argument("--output", type=Path, help="the preset file to write, *.yaml, or of directions, *.safetensors")
    listing.add_json(parser)


def run(given: argparse.Namespace) -> int:
    """``hallu calibrate``."""
    host_arguments = _checked(given)
    subjects = _subjects(given)

    from hallu_models import loading

    rule = importlib.import_module(RULES[given.method][given.variant])
    loaded = loading.load(**host_arguments)
    found: Finding = rule.find(loaded, subjects)
    if not (found.parameters or found.tensors) and given.output is not None:
        raise ValueError(
            f"nothing stands out over {found.prompts} prompts, so there is nothing to write; more prompts narrow the "
            "intervals, and without a preset file the card's settings are used"
        )
    preset = PresetFile(
        given.method,
        host_arguments.get("pretrained", "demo"),
        loaded.depth,
        {"directions": str(given.output or f"FILE{DIRECTIONS}")} if found.tensors else found.parameters,
        f"{rule.RULE} Measured on {found.prompts} prompts ({given.captions or 'drawn scenes'}); scores below.",
        found.measured,
    )
    if given.output is not None:
        _write(given.output, preset, found)
    if given.json:
        listing.print_json(preset)
    else:
        print(listing.table(found.head, found.rows))
        settings = ", ".join(f"{name}={value}" for name, value in preset.parameters.items())
        print(f"{settings or 'nothing stands out'}, over {found.prompts} prompts")
        if given.output is not None:
            model, extra = (
                (f"{loaded.family}_{given.method}", "") if loaded.family else ("hallu", f"method={given.method},")
            )
            name = "directions" if found.tensors else "preset"
            used = f"pretrained={preset.model},{extra}{name}={given.output}"
            print(f"wrote {given.output}; use it with --model {model} --model_args {used}")
    return 0


def _write(path: Path, preset: PresetFile, found: Finding) -> None:
    if not found.tensors:
        path.write_text(preset.text(), encoding="utf-8")
        return
    from hallu_models.engines import directions

    directions.write(path, found.tensors, {**_facts(preset), "pairs": str(found.prompts)})


def _facts(preset: PresetFile) -> dict[str, str]:
    return {"method": preset.method, "model": preset.model, "depth": str(preset.depth), "how": preset.how}


def _checked(given: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the model's loading; everything that can be wrong without a model is."""
    from registry.arguments.model_args import LOADING, loading

    if given.method not in RULES:
        raise ValueError(
            f"--method {given.method}: nothing is known to measure for it; allowed: {', '.join(RULES)}. Other "
            "methods take their layers from the card or from --model_args layers=..."
        )
    if given.variant not in RULES[given.method]:
        raise ValueError(
            f"--variant {given.variant}: the released code of {given.method} measures nothing; allowed for it: "
            f"{', '.join(RULES[given.method])}"
        )
    if given.limit is not None and given.limit < 1:
        raise ValueError(f"--limit {given.limit}: a whole number of at least 1")
    kind, ending = ("file of directions", DIRECTIONS) if given.method in OF_PAIRS else ("preset file", ENDING)
    if given.output is not None and given.output.suffix != ending:
        raise ValueError(f"--output {given.output}: the name of a {kind} ends in {ending}")
    if given.output is not None and not given.output.absolute().parent.is_dir():
        raise ValueError(f"--output {given.output}: the folder {given.output.absolute().parent} does not exist")
    parts = [part.partition("=") for part in given.model_args.split(",") if part]
    for name, _, value in parts:
        if name not in LOADING or not value:
            raise ValueError(f"--model_args {name}: expected name=value with {', '.join(LOADING)}")
    return loading({name: value for name, _, value in parts}, "--model_args")


def _subjects(given: argparse.Namespace) -> list[Any]:
    from hallu_models.calibrate import pairs, prompts

    kind: Any = pairs if given.method in OF_PAIRS else prompts
    if given.captions is None:
        return kind.drawn(given.limit or prompts.SCENES)  # type: ignore[no-any-return]
    return kind.of_file(given.captions, given.limit)  # type: ignore[no-any-return]
