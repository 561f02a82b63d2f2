"""The edit points, in the order in which a forward reaches them."""

from __future__ import annotations

from hallu_models.engines.behind import ROWS_BEHIND
from hallu_models.engines.heads import HEAD_OUTPUTS
from hallu_models.engines.hidden import HIDDEN_STATES
from hallu_models.engines.hiding import HIDING
from hallu_models.engines.maps import MAPS
from hallu_models.engines.rows import LAST_ROW
from hallu_models.engines.values import VALUES

IN_ATTENTION = (HIDING, VALUES, ROWS_BEHIND, LAST_ROW, MAPS, HEAD_OUTPUTS)
IN_LAYERS = (*IN_ATTENTION, *HIDDEN_STATES)
"""Of these a method acts in its ``layers`` alone."""
