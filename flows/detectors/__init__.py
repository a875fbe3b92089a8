"""Detectors: pure kernels over columnar state, behind one contract (``base``), found by kind (``registry``)."""
