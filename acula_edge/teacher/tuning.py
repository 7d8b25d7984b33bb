"""Tuning: which weights of the encoder learn, and how."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.teacher.config import Tuning

_RANK = 8
_ALPHA = 16


def tune(encoder: AudioEncoder, tuning: Tuning) -> None:
    """Prepare `encoder`, in place, for training; weights without a pretraining elsewhere all learn."""
    if encoder.pretrained:
        _TUNINGS[tuning](encoder)


def merge(encoder: AudioEncoder) -> None:
    """Write low-rank changes into the weights they change, and leave plain layers, in place."""
    if not any("lora_" in name for name, _ in encoder.named_parameters()):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(encoder.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            encoder.set_submodule(name, layer.get_base_layer())
    encoder.requires_grad_(True)


def rest_frozen_parts(encoder: nn.Module) -> None:
    """Put every part whose weights are all frozen into evaluation mode."""
    for module in encoder.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def _low_rank(encoder: AudioEncoder) -> None:
    """Freeze the pretrained layers and give each a trainable change of rank 8.

    Hu et al., "LoRA: low-rank adaptation of large language models" (ICLR 2022). Convolutions in groups
    stay frozen: their change would be no smaller than they are. The self-supervised head learns in full.
    """
    from peft import LoraConfig, inject_adapter_in_model

    layers = [name for name, module in encoder.named_modules() if _has_low_rank(module)]
    targets = [name for name in layers if not name.startswith("similarity.")]
    inject_adapter_in_model(LoraConfig(r=_RANK, lora_alpha=_ALPHA, target_modules=targets), encoder)
    for name, parameter in encoder.named_parameters():
        if name.startswith("similarity."):
            parameter.requires_grad_(True)


def _has_low_rank(module: nn.Module) -> bool:
    return type(module) is nn.Linear or (isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == 1)


_TUNINGS: dict[Tuning, Callable[[AudioEncoder], None]] = {
    Tuning.TOP: AudioEncoder.freeze_trunk,
    Tuning.FULL: lambda _encoder: None,
    Tuning.LORA: _low_rank,
}
