"""Zero-shot: a recording belongs to the class whose text prototype it points to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.tasks import Task
from acula_edge.evidence.geometry import unit_rows


def scores(task: Task, audio: NDArray[np.floating], prototypes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosines of recordings (n, d) and class prototypes (classes, d) as logits (n, task.n_logits).

    A binary task's logit is the positive class's cosine less the negative one's. A prototype of zeros
    (a class without a report) has cosine 0 with every recording.
    """
    cosines = unit_rows(audio) @ unit_rows(prototypes).T
    return cosines[:, 1:] - cosines[:, :1] if task.n_logits == 1 else cosines
