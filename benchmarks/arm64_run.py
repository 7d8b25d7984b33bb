"""Run a .tflite or .onnx so many times on each clip of a file, float32, and write what it says.

    python arm64_run.py MODEL CLIPS N MELS FRAMES TIMES OUT

It imports nothing of this project, as it runs in an emulated ARM64 Python that has the runtimes alone. For
each clip OUT gets embedding and logits, float32. A model that takes and gives INT8 is fed on its own grid.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("embedding", "logits")
# Sets a clip, runs the model, and gives what it said last.
Steps = tuple[Callable[[Any], None], Callable[[], object], Callable[[], list[Any]]]


def tflite(model: str) -> Steps:
    """LiteRT with one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    signature = interpreter.get_signature_runner()
    (source,) = signature.get_input_details().values()
    outputs = [signature.get_output_details()[name] for name in NAMES]

    def take(clip: Any) -> None:
        scale, zero_point = source["quantization"]
        if source["dtype"] is not np.float32:
            clip = np.clip(np.rint(clip / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], clip)

    def said() -> list[Any]:
        return [real(interpreter.get_tensor(output["index"]), *output["quantization"]) for output in outputs]

    return take, interpreter.invoke, said


def real(values: Any, scale: float, zero_point: int) -> Any:
    """INT8 values as what they mean."""
    return values if values.dtype == np.float32 else (values.astype(np.float32) - zero_point) * scale


def onnx(model: str) -> Steps:
    """ONNX Runtime with one thread."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    binding = session.io_binding()

    def take(clip: Any) -> None:
        binding.bind_cpu_input(source.name, clip)
        for name in NAMES:
            binding.bind_output(name)

    return take, lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()


def main() -> None:
    """See the module's docstring."""
    model, clips, out = sys.argv[1], sys.argv[2], sys.argv[7]
    count, mels, frames, times = map(int, sys.argv[3:7])
    heard = np.fromfile(clips, np.float32, count * mels * frames).reshape(count, 1, 1, mels, frames)
    take, run, said = (tflite if model.endswith(".tflite") else onnx)(model)
    answers = []
    for clip in heard:
        take(clip)
        for _ in range(times):
            run()
        answers += [np.float32(part).tobytes() for part in said()]
    Path(out).write_bytes(b"".join(answers))


if __name__ == "__main__":
    main()
