"""Makes the ONNX files of the zoo."""
