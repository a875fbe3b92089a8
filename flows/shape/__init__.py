"""Samples to signals: pure kernels, one file per shape."""
