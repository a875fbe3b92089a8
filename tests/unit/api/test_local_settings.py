from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.local_settings import LocalSettings


def test_the_settings_are_validated_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_API_PORT", "99999")
    with pytest.raises(ValidationError, match="api_port"):
        LocalSettings()
