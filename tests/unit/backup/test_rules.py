"""What needs neither Redis nor an archive: retention, targets, names of files, settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveError, ArchiveReader, Source
from services.backup.failure import JobFailed
from services.backup.retention import expired
from services.backup.settings import BackupSettings
from services.backup.store import keys
from services.backup.store.repository import Repository
from services.backup.targets import TargetConfig
from services.backup.views import timestamp

DAY = 86_400_000


def backup(number: int, age_days: float, state: pb.BackupState.ValueType = pb.BACKUP_STATE_COMPLETED) -> pb.Backup:
    return pb.Backup(backup_id=f"bkp_{number}", state=state, create_time=timestamp(int((100 - age_days) * DAY)))


def test_retention_takes_the_old_oldest_first() -> None:
    kept = [
        backup(1, 30),
        backup(2, 29),
        backup(3, 90, pb.BACKUP_STATE_RUNNING),
        backup(4, 90),
    ]
    old = [
        backup(5, 31),
        backup(6, 60, pb.BACKUP_STATE_FAILED),
        backup(7, 50, pb.BACKUP_STATE_CORRUPT),
    ]
    found = expired([*kept, *old], now_ms=100 * DAY, max_age_ms=30 * DAY, keep="bkp_4")
    assert [b.backup_id for b in found] == ["bkp_6", "bkp_7", "bkp_5"]


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(0, 100), st.integers(0, 19))
def test_retention_never_takes_what_is_kept_or_young(ages: list[float], limit: float, keep: int) -> None:
    backups = [backup(number, age) for number, age in enumerate(ages)]
    found = expired(backups, now_ms=100 * DAY, max_age_ms=int(limit * DAY), keep=f"bkp_{keep}")
    assert f"bkp_{keep}" not in [b.backup_id for b in found]
    assert all(100 * DAY - b.create_time.ToMilliseconds() > int(limit * DAY) for b in found)


@pytest.mark.parametrize("prefixes", [(), ("",), ("a b:",), ("a*",), ("a{b}:",), ("a:", "a:b:"), ("a:", "a:"), ("a~",)])
def test_prefixes_that_would_be_ambiguous(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        TargetConfig(url=SecretStr("redis://h"), prefixes=prefixes)


def target(*prefixes: str, restore: str | None = "redis://h") -> TargetConfig:
    url = SecretStr(restore) if restore else None
    return TargetConfig(url=SecretStr("redis://h"), prefixes=prefixes, restore_url=url)


def test_only_one_prefix_with_a_connection_is_restorable() -> None:
    assert target("a:").restorable
    assert not target("a:", "b:").restorable
    assert not target("a:", restore=None).restorable


def test_overlap_is_judged_by_prefix() -> None:
    assert target("a:").overlaps(target("b:", "a:"))
    assert target("a:").overlaps(target("a:b:"))
    assert not target("a:").overlaps(target("b:"))


@pytest.mark.parametrize(
    "name", ["..", "../x", "bkp_../x", "/etc/passwd", "bkp_a/b", "bkp_", "bkp_A", "bkp_a\n", "bkp_a\0", "x", ""]
)
def test_names_that_are_not_backup_ids_reach_no_file(tmp_path: Path, name: str) -> None:
    repository = Repository(tmp_path)
    with pytest.raises(JobFailed) as failure:
        repository.delete(name)
    assert failure.value.reason == "INVALID_BACKUP_ID"
    with pytest.raises(JobFailed), repository.open(name):
        pass
    with pytest.raises(JobFailed), repository.create(name):
        pass


def test_links_and_strangers_are_not_archives(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"data")
    repository = Repository(tmp_path / "archives")
    repository.claim()
    (repository.directory / "bkp_link.mhb").symlink_to(outside)
    (repository.directory / "bkp_dir.mhb").mkdir()
    (repository.directory / "notes.txt").write_text("x")
    (repository.directory / "bkp_real.mhb").write_bytes(b"x")
    assert list(repository.list()) == ["bkp_real"]
    assert not repository.exists("bkp_link")
    with pytest.raises(ArchiveError), repository.open("bkp_link"):
        pass
    repository.release()


def test_a_block_that_fails_leaves_no_file(tmp_path: Path) -> None:
    repository = Repository(tmp_path)

    def check(source: Source) -> None:
        ArchiveReader(source)

    def fill_the_disk() -> None:
        with repository.create("bkp_1") as sink:
            sink.write(b"half")
            raise OSError(28, "No space left on device")

    def seal_too_early() -> None:
        with repository.create("bkp_1") as sink:
            sink.write(b"half")
            sink.seal(check)

    with pytest.raises(JobFailed, match="could not be written"):
        fill_the_disk()
    with pytest.raises(JobFailed, match="did not read back"):
        seal_too_early()
    assert list(tmp_path.iterdir()) == []


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "HARNESS_BACKUP_TARGETS",
        '{"orchestrator": {"url": "redis://source:secret@h", "prefixes": ["orchestrator:"]}}',
    )
    settings = BackupSettings()
    assert settings.backup_targets["orchestrator"].prefixes == ("orchestrator:",)
    assert settings.backup_retention_days == 30
    assert "secret" not in str(settings.masked())
    monkeypatch.setenv("HARNESS_BACKUP_TARGETS", '{"Bad Name": {"url": "redis://h", "prefixes": ["a:"]}}')
    with pytest.raises(ValidationError):
        BackupSettings()


def test_request_keys_do_not_run_together() -> None:
    assert keys.request("a", "bc", "d") != keys.request("ab", "c", "d")
    assert keys.request("a", "b", "c").startswith("backup:{b}:request:")
