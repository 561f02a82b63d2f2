"""``hallu diagnose``: look into a model while it answers."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.commands import listing

if TYPE_CHECKING:
    from hallu_models.diagnostics.readings import Options, Reading
    from hallu_models.diagnostics.subjects import Subject

WHATS = ("vhd", "tvhd", "sinks", "iava", "liae", "iaf", "semantic", "flow", "contrast")
EPILOG = """\
what to look at:
  vhd       how much each head's output depends on the image, at the first answer token (VHR)
  tvhd      the same summed at every generated token; with --task its distribution at right and wrong words (VHR)
  sinks     share of image tokens that collect much attention, for each head (EAH)
  iava      attention to the image under a general instruction and the prompt, and the patches kept (IAVA)
  liae      entropy of the attention over the image along the layers, and the threshold (D-LEAF)
  iaf       how much each head looks at the image, and which heads would be corrected (D-LEAF)
  semantic  heads that attend to the text behind the image (SEVI)
  flow      where visual information sits, and what hiding the image from a layer on changes (SEVI)
  contrast  strength of the contrast with another image at each token (CICD; --method sevi)

examples:
  hallu diagnose --what vhd --output vhd.png
  hallu diagnose --what tvhd --task hallu_demo_chair --limit 200 --output tvhd.png
  hallu diagnose --model_args pretrained=llava-hf/llava-1.5-7b-hf --image cat.jpg --what flow --json
The plain model is measured; method parameters in --model_args, e.g. alpha=2,layers=1+4-7, switch the method on.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu diagnose``."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--what", required=True, choices=WHATS, metavar="WHAT", help="one of the list below")
    parser.add_argument(
        "--model_args", default="pretrained=demo", help="checkpoint and method parameters, as for lmms-eval"
    )
    parser.add_argument("--image", help="an image file, or demo:0 to demo:511, a held-out scene (default: demo:0)")
    parser.add_argument("--prompt", help="the question (default: Please describe this image in detail.)")
    parser.add_argument("--objects", help="COCO categories in the image, by commas, to mark hallucinated words")
    parser.add_argument("--task", help="a captioning task with ground truth, in place of --image (tvhd, flow)")
    parser.add_argument("--limit", type=int, help="how many documents of the task")
    parser.add_argument("--max_new_tokens", type=int, default=64, help="length of the answer (default: 64)")
    parser.add_argument("--method", choices=("cicd", "sevi"), default="cicd", help="whose contrast (default: cicd)")
    parser.add_argument("--other_image", help="the image to contrast with (default for demo scenes: the next one)")
    parser.add_argument("--output", type=Path, help="picture to write: .png, .svg or .pdf (needs matplotlib)")
    listing.add_json(parser)


def run(given: argparse.Namespace) -> int:
    """``hallu diagnose``."""
    if given.output is not None:
        _require_matplotlib(given.output)
    host_arguments, parameters = _split(given)
    subjects = _subjects(given)

    from hallu_models import loading
    from hallu_models.diagnostics.readings import WHATS as READINGS

    loaded = loading.load(**host_arguments)
    reading = READINGS[given.what].read(loaded, subjects, _options(given, parameters, subjects))
    if given.json:
        print(json.dumps({**reading.to_json(), "model": host_arguments.get("pretrained", "demo")}))
    else:
        print("\n".join(reading.summary))
    if given.output is not None:
        _draw(reading, given.output)
    return 0


def _require_matplotlib(output: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("pictures need matplotlib: pip install matplotlib, or use --json instead")
    if output.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--output {output}: allowed endings are .png, .svg, .pdf")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output {output}: the folder {output.absolute().parent} does not exist")


def _split(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the model's loading, and of the method, checked."""
    from hallu_models import methods
    from hallu_models.diagnostics.readings import WHATS as READINGS
    from registry.arguments.model_args import LOADING, loading, pairs

    named = pairs(given.model_args)
    method = (given.method if given.what == "contrast" else READINGS[given.what].method) or None
    rest = {name: value for name, value in named.items() if name not in LOADING}
    return loading(named, "--model_args"), methods.check(method, rest, LOADING).get(method or "", {})


def _subjects(given: argparse.Namespace) -> list[Subject]:
    from hallu_models.diagnostics import subjects
    from hallu_models.diagnostics.readings import WHATS as READINGS

    if given.task is None:
        if given.limit is not None:
            raise ValueError("--limit goes with --task")
        objects = None if given.objects is None else [name.strip() for name in given.objects.split(",")]
        return [subjects.from_image(given.image or "demo:0", given.prompt or subjects.PROMPT, objects)]
    if not READINGS[given.what].many:
        many = " and ".join(name for name, reading in READINGS.items() if reading.many)
        raise ValueError(f"--what {given.what} looks at one image: use --image; --task is for {many}")
    if given.image or given.prompt or given.objects:
        raise ValueError("--task brings its own images, prompts and objects: leave out --image, --prompt and --objects")
    if given.limit is not None and given.limit < 1:
        raise ValueError(f"--limit {given.limit}: a whole number of at least 1")
    return subjects.from_task(given.task, given.limit)


def _options(given: argparse.Namespace, parameters: Mapping[str, Any], chosen: list[Subject]) -> Options:
    from hallu_models.diagnostics import subjects
    from hallu_models.diagnostics.readings import Options

    other = given.other_image
    if given.what == "contrast" and other is None:
        if not chosen[0].name.startswith(subjects.DEMO):
            raise ValueError("--what contrast needs another image: --other_image FILE, or demo:1 for a demo scene")
        number = int(chosen[0].name.removeprefix(subjects.DEMO))
        other = f"{subjects.DEMO}{number + 1 if number < 511 else 0}"
    image = None if other is None else subjects.from_image(other).image
    return Options(parameters, given.max_new_tokens, given.method, image)


def _draw(reading: Reading, output: Path) -> None:
    from hallu_models.diagnostics import pictures

    pictures.draw(reading).savefig(output, dpi=150)
    print(f"wrote {output}", file=sys.stderr)
