from __future__ import annotations

import pytest

from api.checks import refuse_bad_settings, refuse_foreign_host
from api.local_settings import LocalSettings
from api.plan import Plan
from connectors.errors import TocsinError


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "no such host", "a" * 300])
def test_a_foreign_host_is_named_with_its_variable(host: str) -> None:
    with pytest.raises(TocsinError, match=f"^TOCSIN_HOST={host}: not an address of this machine"):
        refuse_foreign_host(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - bound and closed
def test_a_host_of_this_machine_is_taken(host: str) -> None:
    refuse_foreign_host(host)


def test_what_any_process_would_refuse_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOG_LEVEL": "LOUD", "PARTITIONS": "0", "FLOW_MAX_SERIES": "x", "DEMO_INTERVAL_S": "0"}.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    with pytest.raises(TocsinError) as raised:
        refuse_bad_settings(Plan(LocalSettings(), demo=True).settings_classes())
    names = [line.partition("=")[0] for line in str(raised.value).splitlines()]
    assert names == ["TOCSIN_LOG_LEVEL", "TOCSIN_PARTITIONS", "TOCSIN_FLOW_MAX_SERIES", "TOCSIN_DEMO_INTERVAL_S"]
