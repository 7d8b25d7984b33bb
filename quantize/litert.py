"""LiteRT: conversion to .tflite and INT8 quantisation with min-max calibration."""

from __future__ import annotations

import litert_torch
import numpy as np
from ai_edge_quantizer import qtyping, recipe
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe_manager import RecipeManager
from ai_edge_quantizer.utils.qsv_utils import min_max_update
from litert_torch.model import DEFAULT_SIGNATURE_NAME
from numpy.typing import NDArray
from torch import Tensor, nn

_FLOAT = "no_quantize"
_FRONT_END = "LogMel"  # the class of the front end, part of its tensors' names


def convert(module: nn.Module, name: str, example: Tensor) -> bytes:
    """A float .tflite with the input `name`, outputs as the module names them, and a batch of one."""
    converted = litert_torch.convert(module.eval(), sample_kwargs={name: example})
    return bytes(converted.model_content())


def quantise(float_model: bytes, name: str, items: NDArray[np.generic]) -> bytes:
    """INT8 .tflite of a float one: static 8-bit weights per channel, 8-bit activations.

    Ranges are the smallest and largest values over `items` (n, ...). A front end inside the graph, the
    input and the outputs stay as they are.
    """
    quantizer = Quantizer(float_model, recipe.static_wi8_ai8())
    all_ops = qtyping.TFLOperationName
    quantizer.update_quantization_recipe(_FRONT_END, all_ops.ALL_SUPPORTED, algorithm_key=_FLOAT)
    quantizer.update_quantization_recipe(".*", all_ops.INPUT, algorithm_key=_FLOAT)
    quantizer.update_quantization_recipe(".*", all_ops.OUTPUT, algorithm_key=_FLOAT)
    recipes = RecipeManager()
    recipes.load_quantization_recipe(quantizer.get_quantization_recipe())
    # Quantizer.calibrate would average the ranges, and clip what a loud clip needs.
    calibrator = Calibrator(float_model, num_threads=1, qsv_update_func=min_max_update)
    samples = [{name: items[i : i + 1]} for i in range(len(items))]
    calibrator.calibrate({DEFAULT_SIGNATURE_NAME: samples}, recipes)
    return bytes(quantizer.quantize(calibrator.get_model_qsvs()).quantized_model)
