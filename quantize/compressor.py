"""neural-compressor drives the trials: our two ways to quantise are registered as its algorithms.

Its own algorithms can not be lowered to a phone's runtimes. What it does here: it walks the candidates,
scores each, stops at the first within the tolerable loss or at the end of the budget, and names the best.
"""

# No postponed annotations: neural-compressor reads those of __init__ to tell a value from a list of them.

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from neural_compressor.torch.quantization import TuningConfig, autotune
from neural_compressor.torch.quantization.config import TorchBaseConfig, register_config
from neural_compressor.torch.utils import register_algo
from torch import nn

from acula_edge.runtime.runner import Runtime
from quantize.candidate import Candidate
from quantize.ranges import Observer

_PRIORITY = 100  # above its own algorithms


class Quantised(nn.Module):
    """What an algorithm gives back: the candidate (None: the float student) and how to score it."""

    def __init__(self, candidate: Candidate | None, score: Callable[[], float]) -> None:
        super().__init__()
        self.candidate, self.score = candidate, score

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # neural-compressor copies the float model for each trial; nothing here changes it


Quantise = Callable[[Candidate], Quantised]


class _Config(TorchBaseConfig):  # type: ignore[misc]
    supported_configs: ClassVar[list[Any]] = []

    def __init__(
        self,
        observer: str = Observer.MIN_MAX.value,
        symmetric: bool = False,
        per_channel: bool = True,
        float_layers: int = 0,
        qat: bool = False,
        white_list: Any = "*",
        **kwargs: Any,  # noqa: ARG002  what its own copies carry besides
    ) -> None:
        super().__init__(white_list=white_list)
        self.observer, self.symmetric, self.per_channel = observer, symmetric, per_channel
        self.float_layers, self.qat = float_layers, qat
        self._post_init()

    @property
    def candidate(self) -> Candidate:
        observer = Observer(self.observer)
        return Candidate(observer, self.symmetric, self.per_channel, self.float_layers, self.qat)

    @classmethod
    def register_supported_configs(cls) -> None:
        cls.supported_configs = []

    @staticmethod
    def get_model_info(model: nn.Module) -> list[tuple[str, str]]:
        return [("network", type(model).__name__)]

    @classmethod
    def get_config_set_for_tuning(cls) -> Self:
        return cls(observer=[observer.value for observer in Observer])  # type: ignore[arg-type]


@register_config(framework_name="torch", algo_name="acula_edge_pt2e", priority=_PRIORITY)
class Pt2eConfig(_Config):
    """PT2E for XNNPACK."""

    name = "acula_edge_pt2e"


@register_config(framework_name="torch", algo_name="acula_edge_litert", priority=_PRIORITY)
class LiteRTConfig(_Config):
    """ai-edge-quantizer for LiteRT."""

    name = "acula_edge_litert"


_CONFIGS: Mapping[Runtime, type[_Config]] = {Runtime.PTE: Pt2eConfig, Runtime.TFLITE: LiteRTConfig}


def _algorithm(_model: nn.Module, configs: Mapping[Any, Any], run_fn: Quantise, **_: Any) -> Quantised:
    (config,) = configs.values()
    return run_fn(config.candidate)


for _config in _CONFIGS.values():
    register_algo(name=_config.name)(_algorithm)


def search(
    ladder: Sequence[Candidate],
    runtime: Runtime,
    floating: Quantised,
    quantise: Quantise,
    tolerable_loss: float,
) -> Candidate:
    """The first candidate whose score is at least that of `floating` less `tolerable_loss`, or the best.

    `floating` must score above 0.
    """
    logging.getLogger("neural_compressor").setLevel(logging.ERROR)  # a page for each trial
    make = _CONFIGS[runtime]
    configs = [make(**{**candidate.to_json(), "observer": candidate.observer.value}) for candidate in ladder]
    tuning = TuningConfig(
        config_set=configs,
        tolerable_loss=tolerable_loss / floating.score(),  # neural-compressor's is relative
        max_trials=len(ladder),
    )
    best = autotune(floating, tuning, eval_fn=lambda model: model.score(), run_fn=quantise)
    assert best.candidate is not None
    found: Candidate = best.candidate
    return found
