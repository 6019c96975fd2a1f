"""The trail: whatever is done to it is found, offline and by the service, and both find the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherharness import audit
from motherharness.audit.lines import canonical as sdk_canonical
from services.approval.audit.chain import Broken, Chain, is_event
from services.approval.audit.lines import Link, canonical, export_line, key_line, record_line
from services.approval.audit.trail import known_checkpoints
from services.approval.grants.keys import SigningKey, VerifyingKey, generate, signing_key
from tests.support.patience import ends
from tests.support.trails import Made, export, make, mutations, rechained

Verdict = tuple[str, int] | None


def trusted(key: SigningKey) -> dict[str, object]:
    return {"keys": {key.kid: key.public}}


def keys_of(key: SigningKey) -> Callable[[str], VerifyingKey | None]:
    return lambda kid: key if kid == key.kid else None


def no_key(kid: str) -> None:
    return None


def found_in(lines: Iterable[bytes], **options: object) -> audit.AuditBroken:
    with pytest.raises(audit.AuditBroken) as broken:
        audit.verify_export(lines, **options)  # type: ignore[arg-type]
    return broken.value


def by_service(
    lines: Sequence[bytes], shard: int, key_of: Callable[[str], VerifyingKey | None], known: dict[int, str]
) -> Verdict:
    chain = Chain(shard, key_of, known)
    try:
        chain.take_all(lines)
        chain.finish()
    except Broken as broken:
        return broken.reason, broken.sequence
    return None


def by_sdk(lines: Sequence[bytes], shard: int, key: SigningKey, known: dict[int, str]) -> Verdict:
    chain = audit.Chain(shard, {key.kid: key.public}, known)
    try:
        for line in lines:
            chain.take(line)
        chain.finish()
    except audit.AuditBroken as broken:
        return broken.reason, broken.sequence
    return None


def test_a_whole_export_is_whole() -> None:
    chains, key = make(forgotten=4)
    report = audit.verify_export(export(chains, key), keys={key.kid: key.public})
    assert report.records == 3 + 7 + 7
    assert [(shard.first, shard.last, shard.checkpoints) for shard in report.shards] == [
        (5, 7, 3),
        (1, 7, 3),
        (1, 7, 3),
    ]
    assert report.shards[0].root_time_ms > 0
    assert report.kids == [key.kid]
    assert not report.own_keys
    assert audit.verify_export([line + b"\n" for line in export(chains, key)]).own_keys
    empty = [Made(0, key), Made(1, key)]
    assert audit.verify_export(export(empty, key)).records == 0


def test_every_change_of_every_line_is_found() -> None:
    chains, key = make(shards=2, records=4, every=2, forgotten=2)
    lines = export(chains, key)
    audit.verify_export(lines, keys={key.kid: key.public})
    count = 0
    for what, changed in mutations(lines):
        count += 1
        try:
            audit.verify_export(changed, keys={key.kid: key.public})
        except audit.AuditBroken:
            continue
        # A key that comes with the file is for convenience: these were trusted before.
        assert what in ("line 2 left out", "line 2 doubled"), what
    assert count > 500


def test_both_implementations_find_the_same() -> None:
    chains, key = make(shards=2, records=5, every=2)
    find = keys_of(key)
    marks = {2: json.loads(chains[1].lines[2])["checkpoint"]["hash"], 5: chains[1].head.hash}
    assert by_service(chains[1].lines, 1, find, marks) is None
    reasons = set()
    removed, _ = make(shards=2, records=5, every=2, key=key, forgotten=2)
    for shard, chain in ((0, removed[0]), (1, chains[1])):
        for what, changed in mutations(chain.lines):
            verdict = by_service(changed, shard, find, marks if shard else {})
            assert verdict == by_sdk(changed, shard, key, marks if shard else {}), what
            assert verdict is not None or "doubled" not in what, what
            reasons.add(verdict and verdict[0])
    lines = chains[1].lines
    spelled = [
        lines[0].replace(b'","', b'", "'),
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
    ]
    spelled += [lines[0].replace(b'"sequence":1', b'"sequence":1.0'), lines[0][:-1] + b',"time_ms":1}']
    spelled += [chains[0].lines[0], chains[0].lines[2], rechained(lines, 1, 1)[0]]
    for line in spelled:
        verdict = by_service([line], 1, find, {})
        assert verdict == by_sdk([line], 1, key, {}), line
        reasons.add(verdict and verdict[0])
    for marks in ({9: "0" * 64}, {3: "0" * 64}, {0: "0" * 64}):
        assert by_service(lines, 1, find, marks) == by_sdk(lines, 1, key, marks)
    other = signing_key(generate())
    assert by_service(lines, 1, no_key, {}) == by_sdk(lines, 1, other, {}) == ("UNKNOWN_KEY", 2)
    assert reasons >= {
        "NOT_A_RECORD",
        "WRONG_SHARD",
        "WRONG_SEQUENCE",
        "WRONG_PREV",
        "WRONG_HASH",
        "WRONG_SIGNATURE",
        "UNKNOWN_KEY",
        "CHECKPOINT_MISMATCH",
        "CHECKPOINT_MISPLACED",
        "CHECKPOINT_MISSING",
        "TRUNCATED",
    }


def test_time_that_runs_backwards_is_found() -> None:
    _, key = make()
    first, link = record_line(0, Link(), 2000, b"{}")
    second, _ = record_line(0, link, 1999, b"{}")
    assert by_service([first, second], 0, no_key, {}) == by_sdk([first, second], 0, key, {}) == ("TIME_BACKWARDS", 2)


def test_a_forger_who_makes_all_hashes_anew_is_found_by_the_checkpoints() -> None:
    chains, key = make()
    lines = export(chains, key)
    forged = rechained(lines, 1, 4)
    broken = found_in(forged, **trusted(key))
    # The checkpoint before holds; the one after it does not.
    assert (broken.reason, broken.shard, broken.sequence) == ("CHECKPOINT_MISMATCH", 1, 6)
    unsigned = [line for line in forged if b'"checkpoint"' not in line]
    assert found_in(unsigned, **trusted(key)).reason == "UNSIGNED"


def test_a_forger_with_another_key_is_found_by_keys_or_checkpoints_that_were_kept() -> None:
    chains, key = make()
    kept = audit.read_checkpoints(chains[1].lines)
    assert kept == {1: {3: kept[1][3], 6: kept[1][6], 7: kept[1][7]}}
    other, _ = make(key=signing_key(generate()))
    other[1].lines, other[1].head, other[1].signed = [], Link(), 0
    for number in range(7):
        other[1].record(actor="mallory", score=number)
    other[1].checkpoint()
    forged = export(other, other[0].key)
    assert audit.verify_export(forged).own_keys
    assert found_in(forged, **trusted(key)).reason == "UNKNOWN_KEY"
    broken = found_in(forged, known=kept)
    assert (broken.reason, broken.shard, broken.sequence) == ("REWRITTEN", 1, 3)


def test_a_tail_that_was_cut_off_with_its_checkpoints_is_found() -> None:
    chains, key = make()
    lines = export(chains, key)
    shorter, _ = make(records=3, key=key)
    # Without the key: a shard's end is left out, up to a checkpoint.
    cut = [line for line in lines if line not in chains[1].lines[4:]]
    assert found_in(cut, **trusted(key)).reason == "MANIFEST_MISMATCH"
    # A whole shard.
    assert (
        found_in([line for line in lines if line not in chains[2].lines], **trusted(key)).reason == "MANIFEST_MISMATCH"
    )
    # With the service's help: what is left of the trail is exported again.
    known = audit.read_checkpoints(lines)
    broken = found_in(export(shorter, key), known=known)
    assert (broken.reason, broken.sequence) == ("TRUNCATED", 4)
    broken = found_in(export(chains[:2], key), known=known)
    assert (broken.reason, broken.shard) == ("TRUNCATED", 2)


def test_two_shards_spliced_are_found() -> None:
    chains, key = make()
    lines = export(chains, key)
    spliced = [line for pair in zip(chains[0].lines, chains[1].lines, strict=True) for line in pair]
    assert found_in([lines[0], lines[1], *spliced, lines[-1]], **trusted(key)).reason == "WRONG_SHARD"
    moved = [lines[0], lines[1], *chains[1].lines, *chains[0].lines, *chains[2].lines, lines[-1]]
    assert found_in(moved, **trusted(key)).reason == "WRONG_SHARD"


def test_what_the_retention_removed_is_said_and_known_checkpoints_of_it_are_counted() -> None:
    chains, key = make()
    known = audit.read_checkpoints(line for chain in chains for line in chain.lines)
    kept, _ = make(key=key, forgotten=5)
    report = audit.verify_export(export(kept, key), known={0: known[0]})
    assert (report.shards[0].first, report.shards[0].known_removed, report.shards[0].known_met) == (6, 1, 2)


def test_an_export_says_what_is_wrong_with_the_file_as_a_whole() -> None:
    chains, key = make(shards=1)
    lines = export(chains, key)
    assert found_in([]).reason == "TRUNCATED"
    assert found_in(lines[:-1]).reason == "TRUNCATED"
    assert found_in(lines[1:]).reason == "NOT_AN_EXPORT"
    assert found_in([b"hello", *lines]).reason == "NOT_AN_EXPORT"
    assert found_in([*lines, lines[-1]]).reason == "AFTER_THE_END"
    assert found_in([lines[0], b"x"]).reason == "NOT_A_RECORD"
    assert found_in([*lines[:5], b"x", *lines[5:]]).line == 6
    x = key_line(key).replace(b'"x":"', b'"x":"A')
    assert found_in([lines[0], x, *lines[2:]]).reason == "NOT_A_KEY"
    another = key_line(signing_key(generate()))
    assert found_in([lines[0], another, *lines[2:]]).reason == "UNKNOWN_KEY"


texts = st.text(st.characters(codec="utf-8"), max_size=20)
events = st.dictionaries(
    st.from_regex("[a-z_]{1,8}", fullmatch=True),
    texts | st.integers(-(2**53) + 1, 2**53 - 1) | st.lists(texts, max_size=3),
    max_size=6,
)


KEY = signing_key(generate())


@settings(max_examples=50)
@given(st.lists(events, max_size=6))
def test_any_events_make_a_chain_that_both_take(listed: list[dict[str, object]]) -> None:
    chain = Made(0, KEY)
    for event in listed:
        assert is_event(event)
        assert canonical(event) == sdk_canonical(event)
        line, chain.head = record_line(0, chain.head, 5, canonical(event))
        # Put together by hand, and yet canonical.
        assert canonical(json.loads(line)) == line
        chain.lines.append(line)
    assert by_service(chain.lines, 0, no_key, {}) is None
    assert by_sdk(chain.lines, 0, chain.key, {}) is None


def test_ten_thousand_records_are_verified() -> None:
    chains, key = make(shards=1, records=10_000, every=1000)
    lines = export(chains, key)
    with ends():
        assert audit.verify_export(lines).records == 10_000
        assert by_service(chains[0].lines, 0, keys_of(key), {}) is None


def test_known_checkpoints_are_read_from_lines() -> None:
    chains, _ = make(shards=2)
    known = known_checkpoints([chains[1].lines[3].decode(), chains[0].lines[-1].decode()])
    assert known == {1: {3: json.loads(chains[1].lines[3])["checkpoint"]["hash"]}, 0: {7: chains[0].head.hash}}
    for line in ("", "x", chains[0].lines[0].decode(), export_line().decode()):
        with pytest.raises(ValueError, match="1"):
            known_checkpoints([chains[0].lines[-1].decode(), line])
