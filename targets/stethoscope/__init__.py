"""The stethoscope target: C99 sources for a Cortex-M, generated from the INT8 .tflite."""
