"""What EAH's edited layer needs in memory beside the plain layer: peak resident memory in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pairs import Bound, Row, difference_row

BOUND = 100.0
"""MB a row of the batch, in float32."""

LENGTH, HEADS, SIZE = 3000, 32, 128
"""LLaVA-1.5-7B's heads, at a prompt of 3,000 tokens; one map of all heads would hold 1,152 MB."""

SCRIPT = f"""
import torch
from hallu_models.hosts.attention import AttentionCall
from hallu_models.engines.maps import Maps
from hallu_models.interventions.base import LayerStep
from hallu_models.interventions.eah import EAH
from hallu_models.layout import Layout

def sdpa(module, query, key, value, mask, **options):
    done = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return done.transpose(1, 2), None

def peak():
    # Not getrusage(): its maximum includes what this process was forked from.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6

torch.manual_seed(0)
states = [torch.randn(1, {HEADS}, {LENGTH}, {SIZE}) for _ in range(3)]
image = torch.zeros(1, {LENGTH}, dtype=torch.bool)
image[:, 20:2900] = True
layout = Layout(image, torch.zeros_like(image))
call = AttentionCall(sdpa, None, *states, None, dict())
with torch.inference_mode():
    outputs = call.outputs()
    plain = peak()
    at = LayerStep(1, 0, layout, layout.columns({LENGTH}), dict(), dict(), dict())
    edited = EAH(beta=1e-5).maps(Maps(call, layout), outputs, at)
    assert not torch.equal(edited, outputs), "EAH changed nothing"
    print(plain, peak())
"""


def rows(*, repeats: int) -> list[Row]:
    where = f"one layer, {HEADS} heads, {LENGTH} tokens, float32"
    if not Path("/proc/self/status").exists():
        return [Row("peak memory, eah - plain layer", where, note="only Linux tells a process its peak")]
    values = []
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        plain, edited = map(float, done.stdout.split())
        values.append((plain, edited))
    return [difference_row("peak memory, eah - plain layer", where, values, Bound(BOUND), unit="MB")]
