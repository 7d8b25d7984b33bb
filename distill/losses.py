"""Distillation losses: pure functions of tensors.

B is the batch; every loss is a scalar, a mean over what it compares, and 0 for perfect agreement unless
it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from acula_edge.data.tasks import Task

_TINY = 1e-8


def embedding_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error between projected student and standardised teacher embeddings, both (B, D)."""
    return F.mse_loss(student, teacher)


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of each student's vector and its teacher's, both (B, D)."""
    return (1.0 - F.cosine_similarity(student, teacher, dim=1)).mean()


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the distances of all pairs among (B, E) and among (B, D), each over their mean.

    RKD-D: Park et al., "Relational knowledge distillation" (CVPR 2019), eq. 4 to 6; B >= 2.
    """
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles of all triples among (B, E) and among (B, D).

    RKD-A: Park et al. (CVPR 2019), eq. 7 and 8; B >= 3. The mean is over triples of three different rows.
    """
    differences = F.smooth_l1_loss(_angle_cosines(student), _angle_cosines(teacher), reduction="none")
    n = len(student)
    return differences.sum() / (n * (n - 1) * (n - 2))


def gram_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - linear CKA of (B, E) and (B, D): 1 - cosine of their centred Gram matrices.

    Kornblith et al., "Similarity of neural network representations revisited" (ICML 2019), eq. 3.
    """
    x, y = student - student.mean(0), teacher - teacher.mean(0)
    return 1.0 - F.cosine_similarity((x @ x.T).flatten(), (y @ y.T).flatten(), dim=0)


def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding one's own teacher vector among the batch's by cosine / temperature.

    Both (B, D). The aim of Tian et al., "Contrastive representation distillation" (ICLR 2020), in the
    InfoNCE form of van den Oord et al. (2018), eq. 4: the batch gives the negatives. It does not reach 0.
    """
    own = torch.arange(len(student), device=student.device)
    return F.cross_entropy(_cosines(student, teacher) / temperature, own)


def logit_loss(
    student: Tensor,
    teacher: Tensor,
    tasks: tuple[Task, ...],
    slices: Mapping[str, slice],
    temperature: float,
    domain: Tensor | None = None,
) -> Tensor:
    """Mean over the tasks of T^2 times the divergence of student from teacher at temperature T.

    Logits are (B, K); `domain` (B, tasks) bool says for which clips a task's logits count, None: for all.
    KL over classes, as in Hinton et al., "Distilling the knowledge in a neural network"
    (2015), section 2; for one logit, cross-entropy with the teacher's probability, whose least value is
    that probability's entropy.
    """
    terms = []
    for column, task in enumerate(tasks):
        said, meant = (logits[:, slices[task.name]] / temperature for logits in (student, teacher))
        if domain is not None:
            said, meant = said[domain[:, column]], meant[domain[:, column]]
        if len(said):
            terms.append(_FORMS[task.n_logits > 1](said, meant))
    return temperature**2 * torch.stack(terms).mean() if terms else student.sum() * 0.0


def task_loss(logits: Tensor, labels: Tensor, tasks: tuple[Task, ...], slices: Mapping[str, slice]) -> Tensor:
    """Mean cross-entropy over the tasks, each over the clips that take part in it.

    `logits` is (B, K), `labels` (B, tasks) int64 with -1 where a clip is not part of a task. Every
    labelled clip has the same weight within its task; tasks without a clip in the batch do not count.
    """
    terms = []
    for column, task in enumerate(tasks):
        known = labels[:, column] >= 0
        if not bool(known.any()):
            continue
        own, truth = logits[known, slices[task.name]], labels[known, column]
        if task.n_logits == 1:
            terms.append(F.binary_cross_entropy_with_logits(own[:, 0], truth.to(own.dtype)))
        else:
            terms.append(F.cross_entropy(own, truth))
    return torch.stack(terms).mean() if terms else logits.sum() * 0.0


def semantic_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance between the student's embedding over sqrt(E) and the teacher's place, both (B, E).

    `teacher` has rows of length 1. So the student's numbers are of the size that the layers after it like,
    and its gradient does not grow where an embedding is short, as that of a cosine does.
    """
    dim = student.shape[1]
    return F.mse_loss(student, teacher * dim**0.5)


def report_loss(student: Tensor, own: Tensor, reports: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding one's own report among all by cosine / temperature. It does not reach 0.

    `student` (B, E) and `reports` (n, E), each different one once, so that no negative is the same text;
    `own` (B,) is the row of a clip's own report, or -1 where it has none and does not count.
    """
    told = own >= 0
    if not bool(told.any()):
        return student.sum() * 0.0
    return F.cross_entropy(_cosines(student[told], reports) / temperature, own[told])


def _binary(student: Tensor, teacher: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(student, teacher.sigmoid())


def _many(student: Tensor, teacher: Tensor) -> Tensor:
    said, meant = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return F.kl_div(said, meant, reduction="batchmean", log_target=True)


_FORMS: dict[bool, Callable[[Tensor, Tensor], Tensor]] = {False: _binary, True: _many}


def _cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def _relative_distances(rows: Tensor) -> Tensor:
    """Distances (B (B - 1) / 2,) of all pairs of rows, over their mean."""
    first, second = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    distances = torch.linalg.vector_norm(rows[first] - rows[second], dim=1)
    relative: Tensor = distances / distances.mean().clamp(min=_TINY)
    return relative


def _angle_cosines(rows: Tensor) -> Tensor:
    """Cosine (B, B, B) of the angle at j between rows i and k, at [j, i, k]; 0 unless all three differ."""
    sides = F.normalize(rows[None] - rows[:, None], dim=2)  # (j, i, D): from j to i; zero where i is j
    other = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return torch.bmm(sides, sides.transpose(1, 2)) * other
