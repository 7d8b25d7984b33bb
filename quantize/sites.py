"""Sites: the tensors of a network that get a grid, and what they held over the calibration clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from quantize.ranges import Range
from quantize.scheme import STATIC
from quantize.statistics import Statistics
from quantize.xnnpack import FusedReLU6Quantizer, module_of

Ranges = Mapping[str, Range]  # by site
_SAME = 1e-3  # of a tensor's largest value: how far the float sums of two runtimes lie apart at most


@dataclass
class Site:
    """One tensor: the module that computes it, the statistics of its values, and those of the first clip.

    `first` is flat and sorted: the same whatever the layout, so that another graph of the same network
    finds the site among its own tensors.
    """

    module: str
    statistics: Statistics = field(default_factory=Statistics)
    first: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def hear(self, values: NDArray[np.float32]) -> None:
        """Take in the values of one more clip."""
        if self.first.size == 0:
            self.first = np.sort(values, axis=None)
        self.statistics.add(values)

    def held(self, values: NDArray[np.float32]) -> bool:
        """Whether another graph's tensor holds this site's values of the first clip, padded or not."""
        missing = values.size - self.first.size
        if missing < 0:
            return False
        mine, near = self.first, _SAME * float(np.abs(self.first[[0, -1]]).max())
        if missing:
            mine = np.sort(np.concatenate([mine, np.zeros(missing, np.float32)]))
        if abs(float(values.max() - mine[-1])) > near or abs(float(values.min() - mine[0])) > near:
            return False  # most tensors are told apart without sorting them
        return bool(np.abs(mine - np.sort(values, axis=None)).max() <= near)


def observe(network: nn.Module, features: Tensor) -> dict[str, Site]:
    """Every site of `network`, by the name of its node in the exported graph.

    `features` are (n, 1, n_mels, n_frames), run one by one.
    """
    prepared = prepare_pt2e(exported(network, features), FusedReLU6Quantizer(STATIC))
    found = {}
    for node, observer in observed_nodes(prepared):
        found[node.name] = Site(module_of(node))
        observer.register_forward_pre_hook(_listener(found[node.name]))
    with torch.no_grad():
        for index in range(len(features)):
            prepared(features[index : index + 1])
    return found


def exported(network: nn.Module, features: Tensor) -> GraphModule:
    """The graph of `network` for one clip of `features` (n, 1, n_mels, n_frames)."""
    graph: GraphModule = torch.export.export(network, (features[:1],)).module()
    return graph


def observed_nodes(prepared: GraphModule) -> list[tuple[Node, Any]]:
    """Each activation observer of a prepared graph, behind the first node that it observes."""
    found: dict[int, tuple[Node, Any]] = {}
    for node in prepared.graph.nodes:
        if node.op == "call_module" and node.args[0].op != "get_attr":
            observer = prepared.get_submodule(node.target)
            found.setdefault(id(observer), (node.args[0], observer))
    return list(found.values())


def _listener(site: Site) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    return lambda _observer, inputs: site.hear(inputs[0].numpy())
