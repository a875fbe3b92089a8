"""The face: REST and WebSocket for people and programs, the ``tocsin`` command, and what ``make run`` starts.

It reads anomalies and writes detector revisions through Kafka; it imports the flows' pure steps to validate, and never
bytewax. A **revision** is one version of one detector, counted from 1; its ETag is that count.
"""
