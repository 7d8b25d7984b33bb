"""Text prototypes: the mean projected report of each class, for zero-shot use and for the student."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from acula_edge.data.recording import Recording
from acula_edge.data.tasks import Task
from acula_edge.encoders.projection import ProjectionHead


@torch.no_grad()
def prototypes(
    text_head: ProjectionHead,
    tasks: Sequence[Task],
    train: Sequence[Recording],
    texts: NDArray[np.float32],
) -> dict[str, Tensor]:
    """For each task, `prototypes.<task>` (classes, dim): unit mean projections of its train reports.

    `texts` (n, q) are the report embeddings of `train`. A class without a report has a zero row.
    """
    text_head.eval()
    projected = F.normalize(text_head(torch.from_numpy(texts)), dim=1)
    found = {}
    for task in tasks:
        rows = torch.zeros(len(task.classes), projected.shape[1])
        for label in range(len(task.classes)):
            members = [index for index, item in enumerate(train) if item.labels.get(task.name) == label]
            if members:
                rows[label] = F.normalize(projected[members].mean(0), dim=0)
        found[f"prototypes.{task.name}"] = rows
    return found
