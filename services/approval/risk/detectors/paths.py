"""What a path means: secrets, version-control internals, system files, start-up files, devices, the outside.

Which paths these are is data, in `paths.yaml`. A path is judged as what it leads to: `.`, `..`, doubled and turned slashes,
`file:` addresses, other names of the same root (/proc/self/root, /private), wildcards that can only mean one file, and the
symbolic links that are known (`Place.links`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import unquote

from services.approval.risk import normalise, patterns, scoring
from services.approval.risk.detectors import tables
from services.approval.risk.model import Context, Factor

HIDDEN = "\ufffc"  # stands for the part of a word that is not known before it runs
# Stands for the number or name of what the script itself started: a process, a container. No program has a real one like it.
STARTED = f"{HIDDEN}+started"
# Stands for all the arguments that whoever starts the script gives it.
ARGUMENTS = f"{HIDDEN}+arguments"
MAX_PATH = 4096  # characters; no system of today opens a longer one (PATH_MAX), so it is the path of nothing
MAX_HOPS = 40  # symbolic links that one path goes through, as in Linux (ELOOP)
MAX_STEPS = 1000  # parts of a path and of the targets of its links together
_CACHED = 256  # characters of the paths whose class is remembered


@dataclass(frozen=True, slots=True)
class PathClass:
    """A kind of path: what reading and what changing it weighs. 0 means that it says nothing."""

    id: str
    what: str
    read: int
    write: int
    but: patterns.PatternSet
    match: tuple[str, ...]
    no_match: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where paths start from: `root`, the folder that may be changed, `cwd` (relative to `root`, or absolute), known `links`."""

    root: str = ""
    cwd: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    def at(self, cwd: str) -> Place:
        """The same place, seen from another folder."""
        return self if cwd == self.cwd else replace(self, cwd=cwd)


NOWHERE = Place()


def place_of(context: Context) -> Place:
    """The place that a context describes."""
    if not context.working_dir and not context.links:
        return NOWHERE
    root = context.working_dir if context.working_dir.strip() else ""
    links = {joined(link, root): target for link, target in context.links.items()}
    return Place(normalised(root), "", links)


_WORKPLACES = frozenset({"system", "applications"})  # classes of folders that may hold a project
_DATA = tables.load("paths.yaml")
CLASSES = tuple(
    PathClass(
        each["id"],
        each["what"],
        tables.weight(each.get("read")),
        tables.weight(each.get("write")),
        patterns.PatternSet(each.get("but", ())),
        tuple(each["match"]),
        tuple(each["no_match"]),
    )
    for each in _DATA["classes"]
)
_OWNERS = [owner for owner, each in enumerate(_DATA["classes"]) for _ in each["patterns"]]  # class of each pattern
_PATTERNS = patterns.PatternSet([pattern for each in _DATA["classes"] for pattern in each["patterns"]])
_ROOTS = patterns.PatternSet([pattern if pattern != "/" else "^/$" for pattern in _DATA["roots"]])
_WELL_KNOWN = tuple(_DATA["well_known"])

_REMOTE = patterns.compile(r"^[\w.+-]{1,40}://")
_DRIVE = patterns.compile(r"^[A-Za-z]:(?:/|$)")
_SAME_ROOT = patterns.compile(r"^(?:/proc/(?:\d{1,10}|self|thread-self)/root|/system/volumes/data|/private)(/.*)$")
_HARMLESS_DEVICES = patterns.compile(r"^/dev/(?:null|zero|full|u?random|tty|stdin|stdout|stderr|fd(?:/.*)?|shm(?:/.*)?|ptmx|pts(?:/.*)?)$")
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/private/tmp")


def normalised(path: str, cwd: str = "") -> str:
    """`path` without `.`, `..` and doubled slashes, backslashes turned, below `cwd` when that is given and it is relative."""
    text = joined(path, cwd)
    if not text or ("/." not in text and "//" not in text and text[0] != "." and text[-1] != "/"):
        return text  # nearly all of them
    return posixpath.normpath(text)


def joined(path: str, cwd: str = "") -> str:
    """`path` below `cwd`, with one spelling of slashes; `..` is kept, for what it means depends on links."""
    text = path.replace("\\", "/").strip()
    if text[:5].lower() == "file:":
        text = unquote(text[5:])
        if text.startswith("//"):
            text = "/" + text[2:].partition("/")[2]
    if cwd and text and text[0] not in "/~" and not text.startswith(HIDDEN) and not _has_drive(text):
        text = f"{cwd}/{text}"
    if text.startswith("//") and not text.startswith("//./"):
        text = "/" + text.lstrip("/")
    return text


def resolved(path: str, place: Place) -> str | None:
    """What `path` leads to from `place`; None when its links lead nowhere."""
    cwd = place.cwd if place.cwd.startswith("/") or not place.root else joined(place.cwd, place.root) or place.root
    if not place.links or len(path) > MAX_PATH:
        return normalised(path, cwd)
    return _followed(joined(path, cwd), place.links)


def _followed(text: str, links: Mapping[str, str]) -> str | None:
    """Walks a path part by part, as a system does: `..` after a link is the parent of its target."""
    todo, done, absolute = text.split("/")[::-1], list[str](), text.startswith("/")
    hops = steps = 0
    while todo:
        steps += 1
        part = todo.pop()
        if steps > MAX_STEPS or hops > MAX_HOPS:
            return None
        if part in ("", "."):
            continue
        if part == "..":
            if done and done[-1] != "..":
                done.pop()
            elif not absolute:
                done.append(part)
            continue
        done.append(part)
        target = links.get(("/" if absolute else "") + "/".join(done))
        if target is None:
            continue
        hops += 1
        if target.startswith(("/", "~")):
            done, absolute = [], target.startswith("/")
        else:
            done.pop()
        todo.extend(target.split("/")[::-1])
    return ("/" if absolute else "") + "/".join(done) or "."


def classify(path: str) -> PathClass | None:
    """The gravest class of a path, None for an ordinary one. Remote addresses have no class."""
    return _remembered(path) if len(path) <= _CACHED else _class(path) if len(path) <= MAX_PATH else None


def _class(path: str) -> PathClass | None:
    if not path or ("://" in path and not path.startswith("file://") and _REMOTE.match(path)):
        return None
    clean = normalised(path).lower()
    if clean.startswith(("/proc/", "/private/", "/system/")) and (same := _SAME_ROOT.match(clean)):
        clean = same.group(1)
    if _is_harmless_device(clean):
        return None
    if "*" in clean or "?" in clean or "[" in clean:
        clean = _meant(clean)
    if clean.startswith("~"):
        _, _, rest = clean.partition("/")
        clean = f"/home/~/{rest}" if rest else "/home/~"
    for owner in sorted({_OWNERS[index] for index in _PATTERNS.matches(clean)}):
        if not CLASSES[owner].but.matches(clean):
            return CLASSES[owner]
    return None


_remembered = lru_cache(maxsize=4096)(_class)


def _meant(path: str) -> str:
    """The well-known file that a path with wildcards stands for; a part of nothing but `*` stands for anything."""
    parts = path.split("/")
    for known in _WELL_KNOWN:
        names = known.split("/")
        if len(names) == len(parts) and all(map(_stands_for, parts, names)):
            return str(known)
    return path


def _stands_for(glob: str, name: str) -> bool:
    """Whether a part of a path with wildcards matches a name and says something about it."""
    if glob == name:
        return True
    if glob.strip(".*") == "" or not any(c in glob for c in "*?["):
        return False
    pattern, inside = "", False
    for character in glob:
        if inside:
            inside = character != "]"
        elif character == "[":
            inside, pattern = True, pattern + "."
        else:
            pattern += {"*": ".*", "?": "."}.get(character) or patterns.escape(character)
    return patterns.compile(pattern).fullmatch(name) is not None


def is_root(path: str) -> bool:
    """Whether removing everything under `path` would end the system or a person's files."""
    clean = normalised(path)
    if clean.endswith(("/*", "/.*")):
        clean = clean[: clean.rindex("/")] or "/"
    if clean in ("/", "~", f"~{HIDDEN}"):
        return True
    return len(clean) < _CACHED and bool(_ROOTS.matches(clean.lower()))


def is_temporary(path: str) -> bool:
    """Whether a path is in a folder for temporary files."""
    return _below(normalised(path), *_TEMPORARY)


def outside(path: str, root: str = "") -> bool:
    """Whether a path leaves `root`; without one, whether it is absolute or climbs out."""
    if not path or path.startswith(HIDDEN):
        return False
    if path.startswith("~"):
        return not _below(path, root) if root.startswith("~") else True
    clean = normalised(path, root)
    if root.startswith("/"):
        return not _below(clean, posixpath.normpath(root))
    return clean.startswith(("/", "../")) or clean == ".." or _has_drive(clean)


def _has_drive(path: str) -> bool:
    return path[1:2] == ":" and _DRIVE.match(path) is not None


def _is_harmless_device(path: str) -> bool:
    return path.startswith("/dev/") and _HARMLESS_DEVICES.match(path) is not None


def _below(path: str, *folders: str) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _judged(path: str, place: Place) -> tuple[PathClass | None, str | None]:
    """The class of what a path leads to, and what that is: below the root it is judged by its relative name."""
    text = resolved(path, place)
    if text is None:
        return None, None
    root = place.root
    if root.startswith("/") and _below(text, root) and not _sensitive(root):
        return classify(text[len(root) :].lstrip("/") or "."), text
    return classify(text), text


@lru_cache(maxsize=64)
def _sensitive(root: str) -> bool:
    """Whether a working folder is itself a place of which every path says something: the whole system, keys, logs."""
    found = classify(root)
    return root == "/" or (found is not None and (found.id not in _WORKPLACES or is_root(root)))


def read_factor(path: str, place: Place = NOWHERE) -> Factor | None:
    """The factor of reading `path`."""
    found, text = _judged(path, place)
    if text is None:
        return _loop(path)
    if found is None or not found.read:
        return None
    return Factor(
        f"sensitive-path.read-{found.id}",
        "sensitive-path",
        f"Reads {_named(path, text)}: {found.what}.",
        found.read,
        excerpt=path[:200],
        safer_alternative="Leave it out, or give only the one value that is needed.",
    )


def write_factor(path: str, place: Place = NOWHERE) -> Factor | None:
    """The factor of creating, changing or removing `path`."""
    found, text = _judged(path, place)
    if text is None:
        return _loop(path)
    if found is None or not found.write:
        return _outside_factor(path, text, place)
    return Factor(
        f"sensitive-path.write-{found.id}",
        "sensitive-path",
        f"Changes {_named(path, text)}: {found.what}.",
        found.write,
        excerpt=path[:200],
        safer_alternative="Write a copy inside the working directory and let a person put it in place.",
    )


def _outside_factor(path: str, text: str, place: Place) -> Factor | None:
    root = place.root or (place.cwd if place.cwd.startswith("/") else "")
    if not outside(text, root) or is_temporary(text) or _is_harmless_device(text):
        return None
    return Factor(
        "sensitive-path.outside",
        "sensitive-path",
        f"Changes {_named(path, text)}, outside the working directory.",
        scoring.MEDIUM if root or text.startswith("..") else scoring.MINOR,
        excerpt=path[:200],
        safer_alternative="Work inside the project's folder.",
    )


def _loop(path: str) -> Factor:
    return normalise.unreadable("links", "Symbolic links that lead nowhere: what the path means is not known.", path)


def _named(path: str, text: str) -> str:
    """A path as it was written, and what it leads to when its name does not tell."""
    last = posixpath.basename(text)
    return path[:120] if last in path or HIDDEN in path else f"{path[:120]} ({text[:120]})"
