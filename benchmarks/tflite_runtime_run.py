"""One .tflite on a batch of clips in tflite-runtime; benchmarks/tflite_runtime.py runs it.

    python benchmarks/tflite_runtime_run.py MODEL BATCH.npy OUT.npz KERNELS

Needs the package tflite-runtime and numpy below 2. KERNELS is a name of its OpResolverType. Prints JSON:
versions, and the median time of a clip.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from importlib.metadata import version


def run(model: str, batch_file: str, out: str, kernels: str) -> None:
    """Each clip, with one thread."""
    import numpy as np
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    batch = np.load(batch_file)
    interpreter = Interpreter(
        model_path=model, num_threads=1, experimental_op_resolver_type=OpResolverType[kernels]
    )
    interpreter.allocate_tensors()
    call = interpreter.get_signature_runner()
    (name,) = call.get_input_details()
    found, seconds = [], []
    for index in range(len(batch)):
        start = time.perf_counter()
        found.append(call(**{name: batch[index : index + 1]}))
        seconds.append(time.perf_counter() - start)
    np.savez(out, **{key: np.concatenate([one[key] for one in found]) for key in ("embedding", "logits")})
    versions = {name: version(name) for name in ("tflite-runtime", "numpy")}
    print(json.dumps({"versions": versions, "ms": 1000 * statistics.median(seconds)}))


if __name__ == "__main__":
    run(*sys.argv[1:])
