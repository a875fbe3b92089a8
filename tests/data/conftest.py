"""Tests on data from outside the repository: collected only when TOCSIN_DATA names its folder."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "TOCSIN_DATA" in os.environ else ["test_*.py"]
