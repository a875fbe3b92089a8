"""The middle: samples become anomalies in four steps, decode → shape → detect → report.

* **decode** – record bytes to columns (series hash, time, value), no Python object per sample;
* **shape** – samples to *signals*: one value per sample time, raw or the rate of a counter;
* **detect** – signals to *surprise*, −log10 of the tail probability under what was learned, and the expected band;
* **report** – surprises to *episodes*: opened, updated, closed, each with one deterministic id.

A **block** is the state of one Kafka partition: arrays with a row per series. A **program** is what a detector
computes (kind, parameters, shape); detectors that compute the same share one. A **lane** is one detector on one series.
Everything but the wiring (``metrics``, ``run``, ``settings``, ``vitals``) is pure: no clock, no socket, no log.
"""
