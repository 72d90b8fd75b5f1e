"""What every process of the ledger makes first, made once: imported by the process that the others are forked off."""

import gc

from api.app import build
from api.routes.edge.metrics import Metrics
from api.settings import Settings

# The document that is served takes longer to make than all else that a start takes.
build(Settings(), Metrics())
# A process collects its garbage as it starts: of this there is none, and to look through it takes long.
gc.collect()
gc.freeze()
