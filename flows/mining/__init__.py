"""Lines of logs to numbers: how many of each service, level and pattern, and which patterns are new. Pure.

Words: a *stream* is what bears one set of labels; its *service* is the label ``service_name`` or what Loki would take
for it; a *masked* line has a wildcard in the place of each number, address, path …; a *pattern* is what masked lines
have in common; a *birth* is the first line of a pattern.

    decode ─▶ mask (``lines``) ─▶ count, per partition (``count``) ─▶ mine, of all partitions (``miner``) ─▶ samples

Masking is compiled, and the same masked line comes again and again: only those that were never met reach the tree of
patterns, which is plain Python.
"""
