"""ONNX export and TensorRT engines: stages of the tracecore plugin."""
