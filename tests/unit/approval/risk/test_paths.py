"""What paths mean: every class by its own examples, and every way to name one file by another name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import Command, Context, FileDelete, FileWrite, Level, StepResult, assess
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import CLASSES, Place, classify, place_of, read_factor, write_factor

MATCH = [(each.id, path) for each in CLASSES for path in each.match]
NO_MATCH = [(each.id, path) for each in CLASSES for path in each.no_match]


def class_of(path: str) -> str:
    found = classify(path)
    return found.id if found else ""


@pytest.mark.parametrize(("id", "path"), MATCH)
def test_a_class_holds_its_examples(id: str, path: str) -> None:
    assert class_of(path) == id


@pytest.mark.parametrize(("id", "path"), NO_MATCH)
def test_a_class_leaves_its_counterexamples_alone(id: str, path: str) -> None:
    assert class_of(path) != id


@pytest.mark.parametrize(
    "path",
    [
        "//etc/./shadow",
        "/usr/../etc/shadow",
        "/ETC/SHADOW",
        "file:///etc/%73hadow",
        "file://localhost/etc/shadow",
        "/proc/1/root/etc/shadow",
        "\\etc\\shadow",
        "/e??/s????w",
        "/etc/sh[a]dow",
        "/etc/s*w",
    ],
)
def test_other_names_of_one_file_mean_that_file(path: str) -> None:
    assert class_of(path) == "password-hashes"


@pytest.mark.parametrize("path", ["/etc/*", "*", "src/*", "~/.*", "a?b", "https://example.com/etc/shadow", "x" * 5000])
def test_wildcards_and_addresses_that_name_nothing_special_have_no_secrets(path: str) -> None:
    assert class_of(path) in ("", "system")


ROOT = "/srv/app"


@pytest.mark.parametrize(
    ("path", "cwd", "id"),
    [
        ("src/x.py", "", ""),
        ("/srv/app/src/x.py", "", ""),
        ("./a/../b", "", ""),
        ("../x", "", "write-applications"),
        ("a/../../../home/b/x", "", "outside"),
        ("x", "sub", ""),
        ("../x", "sub", ""),
        ("../../../home/x", "sub", "outside"),
        ("~/x", "", "outside"),
        ("/tmp/x", "", ""),
        ("/dev/null", "", ""),
        (".env", "", "write-credentials"),
        (".git/config", "sub", "write-vcs-internals"),
        ("shadow", "/etc", "write-password-hashes"),
        ("/srv/app2/x", "", "write-applications"),
    ],
)
def test_paths_are_read_from_where_they_start(path: str, cwd: str, id: str) -> None:
    factor = write_factor(path, Place(ROOT, cwd))
    assert (factor.id if factor else "") == (f"sensitive-path.{id}" if id else "")


@pytest.mark.parametrize(
    ("path", "links", "id"),
    [
        ("out/shadow", {"out": "/etc"}, "write-password-hashes"),
        ("out/x", {"out": "/home/b"}, "outside"),
        ("/srv/app/out/x", {"out": "/home/b"}, "outside"),
        ("out/x", {"/srv/app/out": "../../home/b"}, "outside"),
        ("a/b/x", {"a": "c", "c/b": "/home/b"}, "outside"),
        ("out/../x", {"out": "/home/b/c"}, "outside"),
        ("in/x", {"in": "src"}, ""),
        ("src/x", {"out": "/etc"}, ""),
        ("notes", {"notes": "~/.ssh/authorized_keys"}, "write-ssh-keys"),
    ],
)
def test_a_path_counts_as_what_its_links_lead_to(path: str, links: dict[str, str], id: str) -> None:
    here = Context(working_dir=ROOT, links=links)
    factor = write_factor(path, place_of(here))
    assert (factor.id if factor else "") == (f"sensitive-path.{id}" if id else "")
    if id:
        assert assess(FileWrite(path, "x"), here).level > Level.LOW
        assert assess(FileDelete(path), here).level > Level.LOW
        assert assess(Command(script=f"echo x > {path}"), here).level > Level.LOW
        assert assess(StepResult("coder", "", result={"files": [path]}), here).level > Level.LOW
    else:
        assert assess(FileWrite(path, "x"), here).level is Level.LOW


def test_reading_through_a_link_is_reading_what_it_leads_to() -> None:
    here = Context(working_dir=ROOT, links={"notes.txt": "/etc/shadow"})
    assert assess(Command(script="cat notes.txt"), here).level is Level.HIGH
    assert assess(Command(script="cat notes.txt"), Context(working_dir=ROOT)).level is Level.LOW


def test_links_that_lead_nowhere_are_unknown() -> None:
    here = Context(working_dir=ROOT, links={"a": "b", "b": "a"})
    assert assess(FileWrite("a/x", ""), here).level is Level.UNKNOWN
    wide = Context(working_dir=ROOT, links={"a": "/".join(["b"] * 2000)})
    assert assess(FileWrite("a/x", ""), wide).level is Level.UNKNOWN


def test_a_working_folder_that_is_the_system_excuses_nothing() -> None:
    for root in ("/", "/etc", "/root/.ssh"):
        assert (
            assess(FileWrite("shadow" if root == "/etc" else "etc/shadow", ""), Context(working_dir=root)).level
            > Level.LOW
        )


@pytest.mark.parametrize(
    "path", ["/", "/*", "~", "~/*", "/etc", "/usr/", "/home/a", "/var/lib", "C:\\", "/var/www/html"]
)
def test_roots(path: str) -> None:
    assert paths.is_root(path)


@pytest.mark.parametrize("path", ["", "/tmp", "/home/a/x", "build", "./*", "/var/tmp/x", "/opt/tool/cache"])
def test_no_roots(path: str) -> None:
    assert not paths.is_root(path)


TEXT = st.text(alphabet="abc/.~*?[]\\:\ufffc é", max_size=40)


@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=4))
def test_any_path_from_any_place_has_an_answer(path: str, root: str, links: dict[str, str]) -> None:
    place = place_of(Context(working_dir=root, links=links))
    for factor in (read_factor(path, place), write_factor(path, place), write_factor(path, place.at(root))):
        assert factor is None or factor.weight > 0


@given(st.lists(st.sampled_from([".", "a", "..", "etc"]), max_size=8))
def test_without_links_following_is_what_normalising_is(parts: list[str]) -> None:
    text = "/" + "/".join(parts)
    assert paths.resolved(text, Place(links={"zz": "q"})) == paths.normalised(text)
