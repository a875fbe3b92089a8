"""The rim: everything that speaks to the outside. It never imports ``flows`` or ``api``.

Words used throughout:

* **tenant** – whose data it is (``X-Scope-OrgID``, default ``anonymous``);
* **series** – a tenant's set of labels; its hash picks the Kafka partition and names its row in a block;
* **sample** – a value of a series at a time in milliseconds;
* **record** – one Kafka message; in ``tocsin.metrics`` a ``prometheus.WriteRequest`` of one tenant and partition;
* **control record** – the second hand that ingest writes into every partition: log time and configuration offsets;
* **partition**, **offset** – Kafka's; an offset kept by us is always that of the *next* record.

The records (``messages``, ``detector``, ``anomaly``, ``feedback``, ``training``, ``status``), ``catalogue``,
``errors``, ``refusals`` and ``codec`` are pure (bytes and values); all other modules here do I/O.
"""
