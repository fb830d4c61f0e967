"""Metrics in TensorBoard's event files, read without TensorBoard or TensorFlow."""
