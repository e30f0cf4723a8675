from __future__ import annotations

from datetime import UTC, datetime, timedelta

from qpuflow.domain.expiry import expiry_warning

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_who_has_time_is_not_warned() -> None:
    assert expiry_warning(None, NOW) is None
    assert expiry_warning(NOW + timedelta(days=15), NOW) is None


def test_two_weeks_before_credentials_end_it_is_said_and_when_they_have() -> None:
    soon = expiry_warning(NOW + timedelta(days=13), NOW)
    assert soon is not None
    assert "expire on 2026-12-04 12:00 UTC" in soon
    late = expiry_warning(NOW, NOW)
    assert late is not None
    assert "expired on" in late
