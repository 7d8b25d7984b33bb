"""Run a .pte, a .tflite or an .onnx behind one interface."""
