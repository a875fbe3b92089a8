"""Asks Prometheus and Loki, and whatever speaks their query APIs, for what they have stored.

Words: a *source* is one such server with its address and secrets; a *piece* is a part of a range that the server
answers at once; a *sink* takes the bytes of an answer as they come, so that no answer is held whole.

    client ── one connection pool per source, time-outs, retries ──▶ address ── where it may connect to
      ▲
    prometheus, loki ── pieces of a range, cached ── decode ── bytes to columns and entries
"""
