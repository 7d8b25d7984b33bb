"""Integer model: a .tflite that takes and gives INT8, without the float border.

An NPU runs integers alone: what turns float features into steps, and steps into float outputs, would stay on
the core. The front end in C makes the steps itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_IDENTIFIER = b"TFL3"


def integer_model(path: Path) -> bytes:
    """The same network from int8 features to int8 embedding and logits, under the same names."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    quantise, dequantise = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
    codes = [code.builtinCode for code in model.operatorCodes]
    inside: dict[int, int] = {}  # a float tensor of the border: its INT8 one
    kept = []
    for operator in graph.operators:
        given, made = int(operator.inputs[0]), int(operator.outputs[0])
        if codes[operator.opcodeIndex] == quantise and given in graph.inputs:
            inside[given] = made
        elif codes[operator.opcodeIndex] == dequantise and made in graph.outputs:
            inside[made] = given
        else:
            kept.append(operator)
    graph.operators = kept
    graph.inputs = [inside.get(int(index), int(index)) for index in graph.inputs]
    graph.outputs = [inside.get(int(index), int(index)) for index in graph.outputs]
    _rename(model.signatureDefs, inside)
    builder = flatbuffers.Builder(path.stat().st_size)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _rename(signatures: Any, inside: dict[int, int]) -> None:
    for signature in signatures:
        for named in (*signature.inputs, *signature.outputs):
            named.tensorIndex = inside.get(named.tensorIndex, named.tensorIndex)
