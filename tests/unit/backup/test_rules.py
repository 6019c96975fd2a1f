"""What needs neither Redis nor an archive: targets, repositories, names of files, settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.backup.archive import ArchiveError, ArchiveReader, Source
from services.backup.failure import JobFailed
from services.backup.places import build_repositories
from services.backup.settings import BackupSettings
from services.backup.store import keys
from services.backup.store.local import LocalRepository
from services.backup.targets import TargetConfig
from services.runtime.errors import ConfigurationError
from services.runtime.settings import load_settings


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
    repository = LocalRepository(tmp_path)
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
    repository = LocalRepository(tmp_path / "archives")
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
    repository = LocalRepository(tmp_path)

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


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{}", "either a path or a url"),
        ('{"path": "/a", "url": "s3://b"}', "either a path or a url"),
        ('{"url": "ftp://b"}', "names a bucket"),
        ('{"url": "s3://id:hidden@b"}', "no credentials"),
        ('{"url": "s3://b?x=hidden"}', "no credentials"),
        ('{"url": "s3://b", "options": {"secret_access_key": "hidden"}}', "may be secret"),
        ('{"path": "/a", "allow_http": true}', "are for a url"),
        ('{"url": "s3://b", "required": false}', "at least one"),
    ],
)
def test_repositories_that_are_refused(monkeypatch: pytest.MonkeyPatch, config: str, problem: str) -> None:
    monkeypatch.setenv("HARNESS_BACKUP_REPOSITORIES", f'{{"a": {config}}}')
    with pytest.raises(ConfigurationError, match=problem) as refused:
        load_settings(BackupSettings)
    assert "hidden" not in str(refused.value)


def test_credentials_stay_in_their_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text('{"access_key_id": "id", "secret_access_key": "hidden"}')
    config = {"url": "s3://bucket/prefix", "options": {"region": "r"}, "credentials_file": str(file)}
    monkeypatch.setenv("HARNESS_BACKUP_REPOSITORIES", json.dumps({"far": config, "near": {"path": str(tmp_path)}}))
    settings = load_settings(BackupSettings)
    built = build_repositories(settings.backup_repositories, settings.backup_directory)
    assert "hidden" not in json.dumps(settings.masked()) + built.location + repr(built.places)
    assert built.location == f"s3://bucket/prefix, {tmp_path}"
    file.write_text("hidden")
    with pytest.raises(ConfigurationError, match="far: credentials_file") as refused:
        build_repositories(settings.backup_repositories, settings.backup_directory)
    assert "hidden" not in str(refused.value)
