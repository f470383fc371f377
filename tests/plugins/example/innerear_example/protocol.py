"""How much larger the states of the last encoder layer are than those that enter the first."""

import numpy as np
import pandas as pd

from innerear.activations.capture import Demand
from innerear.activations.readings import Pooled
from innerear.protocols.base import Measurement, Protocol


class LoudnessProtocol(Protocol):
    """Mean norms by layer."""

    def demands(self, listener):
        return {"pooled": Demand(self.corpus, Pooled())}

    def measure(self, listener, captured, device):
        pooled = captured["pooled"]
        norms = np.stack([pooled.values[at]["states"].norm(dim=-1).numpy() for at in pooled.indices], axis=1)
        norms *= self.task.measure.scale
        items = [self.corpus.items[at] for at in pooled.indices]
        cluster = self.clusters_of(np.array(pooled.indices))
        growth = norms[-1] / norms[0]
        table = pd.DataFrame(
            {
                "item": [item.id for item in items], "unit": [item.id for item in items],
                "speaker": cluster, "outcome": growth,
            }
        )  # fmt: skip
        return Measurement(
            "growth",
            {"growth": self.score(growth, cluster, direction="none", unit="ratio", scale="rate")},
            [self.curve("norms", "norm", listener.encoder_sites, norms, cluster, unit="norm", scale="rate")],
            table,
        )
