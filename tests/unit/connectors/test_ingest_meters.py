from __future__ import annotations

import re
from pathlib import Path

from connectors import ingest_settings
from connectors.codec import line_faults, push_json, stream_names
from connectors.codec.limits import MAX_PAIRS, MAX_STREAMS
from connectors.ingest_meters import IngestMeters

PAGE = (Path(__file__).parents[3] / "docs" / "ingest.md").read_text()
LOGS = re.search(r"^## Logs\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_has_every_counter_of_logs() -> None:
    assert LOGS is not None
    names = [family.name for family in IngestMeters().registry.collect()]
    of_logs = [name for name in names if "log" in name or "stream" in name]
    assert len(of_logs) == 5
    for name in of_logs:
        assert re.search(rf"`{name}(_total)?(\{{reason}})?`", LOGS[1]), name


def test_the_page_has_every_reason_and_limit_of_logs() -> None:
    assert LOGS is not None
    sources = [Path(module.__file__ or "").read_text() for module in (line_faults, push_json, stream_names)]
    sources.append((Path(line_faults.__file__).parent / "stream_labels.py").read_text())
    reasons = {word for text in sources for word in re.findall(r'(?:Fault\(|reason=)\s*"(\w+)"', text)}
    assert len(reasons) > 12
    for word in reasons:
        assert f"`{word}`" in LOGS[1], word
    for number in (MAX_STREAMS, push_json.MAX_VALUES, stream_names.MAX_STREAMS_KNOWN, push_json.MAX_DEPTH, MAX_PAIRS):
        assert f"{number:,}" in LOGS[1]
    assert "TOCSIN_INGEST_MAX_LINE_BYTES" in LOGS[1]
    assert "ingest_max_line_bytes" in ingest_settings.IngestSettings.model_fields
