"""DeviceTrainer: `adapt.pte` in ExecuTorch's training runtime, as a phone runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.pte import set_threads
from acula_edge.runtime.runner import damaged
from distill.adapt.lesson import Lesson

_METHOD = "forward"


class DeviceTrainer:
    """The graph, its weights and an optimiser. `example` is any batch of the size that the graph takes.

    Raises ArtifactError if the file can not be loaded.
    """

    def __init__(self, path: Path, example: Lesson) -> None:
        with divert_output():
            from executorch.extension import training

            set_threads(path, 1)
            try:
                self._module = training._load_for_executorch_for_training(str(path))
            except RuntimeError as error:
                raise damaged(path, error) from None
            self._new_optimiser = training.get_sgd_optimizer
        self._example = example
        self.learn(example)  # the runtime shows its parameters once it has run
        self._parameters: dict[str, Tensor] = self._module.named_parameters()
        self._optimiser: Any = None

    def learn(self, lesson: Lesson) -> tuple[float, Tensor, Tensor]:
        """Forward and backward of one whole batch: its loss, embeddings (B, E) and logits (B, K)."""
        inputs = [part.contiguous() for part in (lesson.maps, lesson.embedding, lesson.logits)]
        loss, embedding, logits = self._module.forward_backward(_METHOD, inputs)
        return float(loss), embedding, logits

    def gradients(self) -> dict[str, Tensor]:
        """Those of the last batch, by the parameter's name."""
        return dict(self._module.named_gradients())

    def optimise_with(self, learning_rate: float, momentum: float) -> None:
        """A new SGD optimiser, without momentum from before."""
        with divert_output():
            self._optimiser = self._new_optimiser(self._parameters, learning_rate, momentum)

    def step(self) -> None:
        """Move the weights against the gradients of the last batch."""
        self._optimiser.step(self._module.named_gradients())

    def answer(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (n, E) and logits (n, K) of any number of maps: the last batch is filled up."""
        answers = []
        for part in torch.split(maps, len(self._example)):
            rows = torch.arange(len(self._example)) % len(part)
            _, embedding, logits = self.learn(replace(self._example, maps=part[rows]))
            answers.append((embedding[: len(part)], logits[: len(part)]))
        embeddings, logits_of = zip(*answers, strict=True)
        return torch.cat(embeddings), torch.cat(logits_of)

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: value.clone() for name, value in self._parameters.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back the bits of `state`."""
        for name, value in self._parameters.items():
            value.copy_(state[name])
