"""What a method is written with: everything it may use comes from here.

from hallu_models.interventions import Intervention, LayerStep
"""

from hallu_models.conversations import Conversation, Message, with_text_behind
from hallu_models.engines import pictures
from hallu_models.engines.beams import Beams, Lookahead, Rules, Search, search
from hallu_models.engines.branches import Negative
from hallu_models.engines.directions import Directions
from hallu_models.engines.lens import EMBEDDINGS
from hallu_models.engines.maps import Maps
from hallu_models.engines.noise import fingerprint, noise_of_rows, seeded_noise
from hallu_models.engines.passes import Passes
from hallu_models.engines.predictions import (
    contrasted,
    jensen_shannon,
    plausible,
    reversed_divergence,
    supported,
)
from hallu_models.engines.rows import HIDDEN, seen
from hallu_models.engines.step import LayerStep, LogitsStep, Recorder, State
from hallu_models.hosts import matching
from hallu_models.hosts.decoding import Decoding, Saved
from hallu_models.hosts.inputs import DecoderInputs
from hallu_models.interventions.base import Answer, Intervention, OtherImage, Prompt
from hallu_models.layout import Columns, Layout
from hallu_models.observations import Observation, per_layer
from registry.cards import layers
from registry.errors import BadArgument

__all__ = [
    "EMBEDDINGS",
    "HIDDEN",
    "Answer",
    "BadArgument",
    "Beams",
    "Columns",
    "Conversation",
    "DecoderInputs",
    "Decoding",
    "Directions",
    "Intervention",
    "LayerStep",
    "Layout",
    "LogitsStep",
    "Lookahead",
    "Maps",
    "Message",
    "Negative",
    "Observation",
    "OtherImage",
    "Passes",
    "Prompt",
    "Recorder",
    "Rules",
    "Saved",
    "Search",
    "State",
    "contrasted",
    "fingerprint",
    "jensen_shannon",
    "layers",
    "matching",
    "noise_of_rows",
    "per_layer",
    "pictures",
    "plausible",
    "reversed_divergence",
    "search",
    "seeded_noise",
    "seen",
    "supported",
    "with_text_behind",
]
