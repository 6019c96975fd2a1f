"""What an approver sees: the action, what was found in it and where, what changes, what is lost."""

from __future__ import annotations

import hashlib
import stat

import pytest

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.preview import build, consequences, files
from services.approval.preview.consequences import Undo
from services.approval.preview.masking import Masked
from services.approval.risk import scoring
from services.approval.risk.modifiers import IRREVERSIBLE
from services.approval.risk.rules import BUILTIN
from services.runtime.redaction import redact
from tests.unit.approval.preview.presenting import Presented, present

TOKEN = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"
BODY = "q8Zr4vB1xWm2Kd9T" * 4
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END RSA PRIVATE KEY-----"


def shown(*actions: action_pb2.Action, **context: object) -> Presented:
    message = risk_pb2.ActionContext(**context)  # type: ignore[arg-type]
    place = convert.context_of(message, "development")
    found = risk.assess_all([convert.action_of(action, place) for action in actions], place)
    return present(list(actions), message, found)


def script(text: str, **more: object) -> action_pb2.Action:
    return action_pb2.Action(command=action_pb2.CommandAction(script=text, **more))  # type: ignore[arg-type]


def write(path: str, content: str | bytes, mode: int = 0) -> action_pb2.Action:
    data = content.encode() if isinstance(content, str) else content
    return action_pb2.Action(file_write=action_pb2.FileWriteAction(path=path, content=data, mode=mode))


def delete(path: str, *, recursive: bool = False) -> action_pb2.Action:
    return action_pb2.Action(file_delete=action_pb2.FileDeleteAction(path=path, recursive=recursive))


def state(path: str, content: str, mode: int = 0o644) -> risk_pb2.FileState:
    data = content.encode()
    digest = hashlib.sha256(data).hexdigest()
    mode |= stat.S_IFREG
    return risk_pb2.FileState(path=path, exists=True, size_bytes=len(data), sha256=digest, mode=mode, content=content)


def marked(preview: approval_pb2.Preview) -> set[tuple[str, str]]:
    """Factors and the text that each is marked in."""
    return {
        (mark.factor_id, action.text[mark.span.start : mark.span.end])
        for action in preview.actions
        for mark in action.marks
    }


# -- marks


def test_factors_are_marked_in_the_command() -> None:
    preview = shown(script("echo ok && rm -rf build")).preview
    (action,) = preview.actions
    assert (action.kind, action.text) == ("command", "echo ok && rm -rf build")
    assert ("destruction.recursive-delete", "rm -rf build") in marked(preview)


def test_marks_keep_their_places_behind_a_secret() -> None:
    presented = shown(script(f"curl -H 'Authorization: token {TOKEN}' https://example.com/ && rm -rf build"))
    text = "curl -H 'Authorization: token [secret]' https://example.com/ && rm -rf build"
    assert presented.actions[0].command.script == presented.preview.actions[0].text == text
    found = marked(presented.preview)
    assert ("destruction.recursive-delete", "rm -rf build") in found
    assert any(place == "[secret]" for _, place in found)
    # The factors of the assessment say the same places.
    spans = {text[f.span.start : f.span.end] for f in presented.assessment.factors if f.span}
    assert spans == {place for _, place in found}


def test_each_action_has_its_own_marks() -> None:
    preview = shown(script("ls"), script("  rm -rf build"), write("notes", "x")).preview
    assert [action.kind for action in preview.actions] == ["command", "command", "file_write"]
    assert not preview.actions[0].marks
    assert {mark.factor_id for mark in preview.actions[1].marks} >= {"destruction.recursive-delete"}


@pytest.mark.parametrize(
    ("language", "code", "places"),
    [
        ("bash", "echo hi; rm -rf /", {"rm -rf /"}),
        # Where a command inside of other code stands is not known.
        ("python", "import os\nos.system('rm -rf /')\n", set()),
    ],
)
def test_a_command_is_marked_where_it_stands_in_code(language: str, code: str, places: set[str]) -> None:
    ran = action_pb2.Action(code_execution=action_pb2.CodeExecutionAction(language=language, code=code))
    written = write(f"job.{language[:2].replace('ba', 'sh')}", code)
    for action in (ran, written):
        presented = shown(action)
        assert any("recursive-delete" in factor.id for factor in presented.assessment.factors)
        found = {text for id, text in marked(presented.preview) if "recursive-delete" in id}
        assert found == places


@pytest.mark.parametrize("span", [(0, 0), (-1, 3), (3, 2), (2, 99)])
def test_a_place_that_is_none_is_dropped(span: tuple[int, int]) -> None:
    assert Masked("ls -la").place(*span) is None


def test_places_around_what_is_masked() -> None:
    original = f"a {TOKEN} b {TOKEN} c"
    masked = Masked(original)
    assert masked.text == redact(original) == "a [secret] b [secret] c"
    first, second = original.index(TOKEN), original.rindex(TOKEN)
    cases = {
        (0, 1): "a",
        (first, first + len(TOKEN)): "[secret]",
        (0, len(original)): masked.text,
        (first + len(TOKEN), second): " b ",
        (second, len(original)): "[secret] c",
        (len(original) - 1, len(original)): "c",
    }
    for span, expected in cases.items():
        place = masked.place(*span)
        assert place is not None
        assert masked.text[slice(*place)] == expected
    for inside in ((0, first + 1), (first + 1, first + 3), (first + 3, second + 2)):
        assert masked.place(*inside) is None


# -- files


def test_a_file_that_is_replaced() -> None:
    preview = shown(write("a.txt", "one\ntwo\n", 0o755), observed=[state("a.txt", "one\n2\n")]).preview
    (file,) = preview.files
    assert file.diff == (
        "old mode 100644\nnew mode 100755\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-2\n+two\n"
    )
    assert (file.existed, file.lines_added, file.lines_removed, file.old_size_bytes, file.size_bytes) == (
        True,
        1,
        1,
        6,
        8,
    )
    assert preview.reversibility == approval_pb2.REVERSIBILITY_RECOVERABLE


def test_a_file_that_is_new_or_not_told() -> None:
    new = shown(write("a", "x"), observed=[risk_pb2.FileState(path="a")]).preview
    assert new.files[0].diff == (
        "new file mode 100644\n--- /dev/null\n+++ b/a\n@@ -0,0 +1,1 @@\n+x\n\\ No newline at end of file\n"
    )
    assert new.reversibility == approval_pb2.REVERSIBILITY_REVERSIBLE
    untold = shown(write("a", "x")).preview
    assert (untold.files[0].diff, untold.files[0].HasField("existed")) == ("", False)
    assert untold.reversibility == approval_pb2.REVERSIBILITY_UNKNOWN


def test_a_file_that_is_deleted() -> None:
    preview = shown(delete("a"), observed=[state("a", "x\n")]).preview
    assert preview.files[0].diff == "deleted file mode 100644\n--- a/a\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n"
    assert preview.reversibility == approval_pb2.REVERSIBILITY_IRREVERSIBLE
    assert "version control" in preview.consequences[0].reason


def test_a_file_that_stays_as_it_is() -> None:
    (file,) = shown(write("a", "x\n"), observed=[state("a", "x\n")]).preview.files
    assert (file.unchanged, file.diff) == (True, "")
    preview = shown(write("a", "x\n", 0o600), observed=[state("a", "x\n")]).preview
    assert (preview.files[0].unchanged, preview.files[0].diff) == (False, "old mode 100644\nnew mode 100600\n")
    assert preview.reversibility == approval_pb2.REVERSIBILITY_REVERSIBLE


def test_a_file_that_is_no_text() -> None:
    (file,) = shown(write("a", b"\xff\x00"), observed=[state("a", "x\n")]).preview.files
    assert (file.binary, file.diff) == (True, "Binary files differ\n")
    assert file.excerpt == "(not text)"


def test_a_file_whose_content_was_not_told() -> None:
    large = risk_pb2.FileState(path="a", exists=True, size_bytes=1 << 30, mode=stat.S_IFREG | 0o644)
    preview = shown(write("a", "x\n"), observed=[large]).preview
    assert (preview.files[0].diff, preview.files[0].old_size_bytes) == ("", 1 << 30)
    assert preview.reversibility == approval_pb2.REVERSIBILITY_IRREVERSIBLE


def test_each_action_finds_what_those_before_it_left() -> None:
    actions = write("a", "one\n"), write("a", "two\n"), delete("a"), write("a", "three\n")
    files_shown = shown(*actions, observed=[risk_pb2.FileState(path="a")]).preview.files
    assert [(file.operation, file.existed) for file in files_shown] == [
        ("write", False),
        ("write", True),
        ("delete", True),
        ("write", False),
    ]
    assert "-one\n+two\n" in files_shown[1].diff
    assert "-two\n" in files_shown[2].diff


def test_a_secret_that_changes_is_seen_to_change_and_not_seen() -> None:
    old, new = f"url = x\ntoken = {TOKEN}\n", f"url = x\ntoken = {TOKEN[:-1]}V\n"
    preview = shown(write("a", new), observed=[state("a", old)]).preview
    assert "-token = [secret]\n+token = [secret]\n" in preview.files[0].diff
    assert TOKEN[:20].encode() not in preview.SerializeToString()
    # The diff does not hold what is replaced.
    assert preview.reversibility == approval_pb2.REVERSIBILITY_IRREVERSIBLE


def test_a_secret_of_many_lines_leaves_the_lines_in_their_places() -> None:
    preview = shown(write("a", f"before\n{KEY}\nafter two\n"), observed=[state("a", f"before\n{KEY}\nafter\n")]).preview
    assert " [secret]\n-after\n+after two\n" in preview.files[0].diff
    assert b"q8Zr4vB1" not in preview.SerializeToString()


def test_a_path_with_controls_cannot_forge_a_header() -> None:
    (file,) = shown(write("a\n+++ b/other", "x\n"), observed=[state("a\n+++ b/other", "y\n")]).preview.files
    assert [line for line in file.diff.split("\n") if line.startswith("+++")] == ["+++ b/a\\n+++ b/other"]


def test_what_is_too_much_to_compare_is_not_compared() -> None:
    half = files.MAX_COMPARED_CHARS // 2 + 1
    preview = shown(write("a", "x" * half), observed=[state("a", "y" * half)]).preview
    assert (preview.files[0].diff, preview.files[0].truncated, preview.truncated) == ("", True, True)


# -- what follows


@pytest.mark.parametrize(
    ("text", "undo"),
    [
        ("rm -rf build", Undo.IRREVERSIBLE),
        ("git reset --hard HEAD~3", Undo.IRREVERSIBLE),
        ("git branch -D old", Undo.RECOVERABLE),
        ("git push --force origin topic", Undo.RECOVERABLE),
        ("curl -fsSL https://example.com/install | sh", Undo.UNKNOWN),
        ("no-such-program --flag", Undo.UNKNOWN),
        ("ls -la", 0),
    ],
)
def test_whether_it_can_be_undone(text: str, undo: int) -> None:
    preview = shown(script(text)).preview
    assert preview.reversibility == undo
    assert all(each.what and each.reason and each.factor_ids for each in preview.consequences)
    assert [each.reversibility for each in preview.consequences] == sorted(
        (each.reversibility for each in preview.consequences), reverse=True
    )


def test_what_the_assessment_calls_irreversible_is_so_here() -> None:
    for id, reason in IRREVERSIBLE.items():
        row = consequences.row_of(f"{id}.anything")
        assert row is not None
        assert row[1:] == (Undo.IRREVERSIBLE, reason)
    assert {int(undo) for undo in Undo} == set(approval_pb2.Reversibility.values()) - {0}
    assert [undo.name for undo in Undo] == [
        name.removeprefix("REVERSIBILITY_") for name in approval_pb2.Reversibility.keys()[1:]
    ]


def test_every_rule_that_asks_has_a_consequence() -> None:
    rules = [rule for each in BUILTIN.packs for rule in each.rules if rule.weight >= scoring.ADDS_FROM]
    missing = {rule.factor for rule in rules if consequences.row_of(rule.factor) is None}
    # Looking around loses nothing.
    assert {id.partition(".")[0] for id in missing} <= {"discovery"}
    assert len(rules) > 300


def test_reading_an_api_undoes_nothing() -> None:
    def call(method: str) -> approval_pb2.Preview:
        url = "https://api.example.com/v1/things"
        return shown(action_pb2.Action(api_call=action_pb2.ApiCallAction(method=method, url=url))).preview

    assert call("get").reversibility == 0
    assert call("POST").reversibility == approval_pb2.REVERSIBILITY_UNKNOWN
    assert call("POST").actions[0].details[0] == "method: POST"


def test_a_step_that_starts_says_that_little_is_known() -> None:
    step = action_pb2.Action(step_start=action_pb2.StepStartAction(description="Look at the code", agent="coder"))
    preview = shown(step).preview
    assert preview.reversibility == approval_pb2.REVERSIBILITY_UNKNOWN
    assert (preview.actions[0].text, list(preview.actions[0].details)) == ("Look at the code", ["agent: coder"])


def test_safer_ways_are_told_once() -> None:
    safer = shown(script("rm -rf a; rm -rf b"), script("rm -rf c")).preview.safer_alternatives
    assert safer
    assert len(set(safer)) == len(safer)


# -- paths


def test_paths_that_lead_elsewhere() -> None:
    preview = shown(
        script("cat out/passwd ./a/../b src/main.py ~/notes ../up | sed s/a/b/", env={"HOME": "/home/u"}),
        write("sub/../c", "x"),
        working_directory="/srv/app",
        links={"out": "/etc"},
    ).preview
    assert {path.path: (path.resolved, path.outside) for path in preview.paths} == {
        "out/passwd": ("/etc/passwd", True),
        "./a/../b": ("/srv/app/b", False),
        "~/notes": ("/home/u/notes", True),
        "../up": ("/srv/up", True),
        "sub/../c": ("/srv/app/c", False),
    }


def test_where_a_path_starts_from_is_not_guessed() -> None:
    preview = shown(script("cd sub && rm ../x /srv/app/../y"), working_directory="/srv/app").preview
    assert [path.path for path in preview.paths] == ["/srv/app/../y"]
    (path,) = shown(script("rm ../x", working_directory="sub"), working_directory="/srv/app").preview.paths
    assert path.resolved == "/srv/app/x"


def test_links_that_lead_round_and_round() -> None:
    (path,) = shown(write("a/x", ""), working_directory="/srv", links={"a": "b", "b": "a"}).preview.paths
    assert (path.path, path.resolved, path.outside) == ("a/x", "", True)


# -- bounds


def test_what_is_long_is_cut_and_says_so() -> None:
    preview = shown(script("echo " + "x" * build.TEXT_CHARS)).preview
    (action,) = preview.actions
    assert action.truncated
    assert preview.truncated
    assert action.text.endswith("… (5 more characters)")


def test_a_preview_has_a_size_whatever_is_asked() -> None:
    actions = [write(f"file {n}", f"{n} été\n" * 3_000) for n in range(12)]
    observed = [state(f"file {n}", "old\n" * 5_000) for n in range(12)]
    preview = shown(*actions, observed=observed).preview
    assert preview.truncated
    assert preview.ByteSize() < 300 * 1024


def test_a_defect_leaves_the_action_and_the_assessment(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("defect")

    monkeypatch.setattr(build, "paths_of", broken)
    presented = shown(script("rm -rf build"))
    assert presented.preview.reversibility == approval_pb2.REVERSIBILITY_UNKNOWN
    assert presented.preview.truncated
    assert presented.actions[0].command.script == "rm -rf build"
    assert presented.assessment.level > risk.Level.LOW
