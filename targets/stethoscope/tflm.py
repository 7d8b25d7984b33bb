"""TFLM: a .tflite as a C array, and its operators, for TensorFlow Lite for Microcontrollers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acula_edge.errors import ArtifactError
from targets.stethoscope.c_text import array
from targets.stethoscope.flatbuffer import read_operator_names

ARRAY, RESOLVER = "acula_tflite", "acula_operators"
# What MicroMutableOpResolver calls the operators of the schema.
_METHODS = {
    "ADD": "AddAdd",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "DEQUANTIZE": "AddDequantize",
    "FULLY_CONNECTED": "AddFullyConnected",
    "MEAN": "AddMean",
    "PAD": "AddPad",
    "QUANTIZE": "AddQuantize",
    "RESHAPE": "AddReshape",
    "ethos-u": "AddEthosU",
}


def tflm_files(model: Path) -> dict[str, str]:
    """Text of each file by its name. Raises ArtifactError for an operator without a known method."""
    content = np.frombuffer(model.read_bytes(), np.uint8)
    names = sorted(set(read_operator_names(model)))
    unknown = [name for name in names if name not in _METHODS]
    if unknown:
        raise ArtifactError(
            f"{model.name}: {', '.join(unknown)} is not one of the operators that a TFLM resolver is made "
            f"for: {', '.join(sorted(_METHODS))}; build another student"
        )
    return {
        f"{ARRAY}.h": _header(model.name, content.size),
        f"{ARRAY}.c": f'#include "{ARRAY}.h"\n{_ALIGN}\nACULA_ALIGNED {array(ARRAY, content, static=False)}',
        f"{RESOLVER}.h": _resolver(model.name, [_METHODS[name] for name in names]),
    }


# C99 has no word for it.
_ALIGN = """
#if defined(__cplusplus)
#define ACULA_ALIGNED alignas(16)
#elif defined(__STDC_VERSION__) && (__STDC_VERSION__ >= 201112L)
#define ACULA_ALIGNED _Alignas(16)
#else
#define ACULA_ALIGNED __attribute__((aligned(16)))
#endif
"""


def _header(file: str, size: int) -> str:
    return f"""/* {file} for TensorFlow Lite for Microcontrollers. Research software, not a medical device. */
#ifndef ACULA_TFLITE_H
#define ACULA_TFLITE_H

#include <stdint.h>

#define ACULA_TFLITE_BYTES {size}u

#ifdef __cplusplus
extern "C" {{
#endif

/* The bytes of {file}, aligned to 16. */
extern const uint8_t {ARRAY}[ACULA_TFLITE_BYTES];

#ifdef __cplusplus
}}
#endif

#endif
"""


def _resolver(file: str, methods: list[str]) -> str:
    calls = "".join(
        f"    if (resolver.{method}() != kTfLiteOk) {{\n        return kTfLiteError;\n    }}\n"
        for method in methods
    )
    return f"""// The operators of {file}, and no other: what is not named here is not linked.
#ifndef ACULA_OPERATORS_H
#define ACULA_OPERATORS_H

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using AculaOperators = tflite::MicroMutableOpResolver<{len(methods)}>;

inline TfLiteStatus acula_add_operators(AculaOperators &resolver)
{{
{calls}    return kTfLiteOk;
}}

#endif
"""
