"""Files written and deleted: where they are, and what a written script would do once somebody runs it."""

from __future__ import annotations

from services.approval.risk import languages, normalise
from services.approval.risk.actions import FileDelete, FileWrite
from services.approval.risk.detectors import paths
from services.approval.risk.kinds import contents, texts
from services.approval.risk.model import Context, Factor
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, NOTE, SERIOUS, UNREADABLE
from services.approval.risk.shell.dispatch import dispatch
from services.approval.risk.shell.walker import Walker

MAX_SCRIPT_CONTENT = 200_000  # characters of a written script; a longer one is UNKNOWN, for it would be read for too long

# Languages whose files run as they are; a file of another one is mostly a part of a program, and often long.
_SCRIPTS = frozenset({"bash", "python"})
_OPEN = frozenset({"unreadable.hidden-command", "unreadable.hidden-code"})  # decided when a script runs; most have some of it
_EXTENSIONS = {"py": "python", "sh": "bash", "bash": "bash", "zsh": "bash", "js": "javascript", "ts": "typescript", "tsx": "tsx", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript", "go": "go", "rb": "ruby", "pl": "perl",
               "php": "php", "ps1": "powershell", "psm1": "powershell", "bat": "batch", "cmd": "batch", "sql": "sql", "lua": "lua"}  # fmt: skip
_RUBY = frozenset({"Rakefile", "Vagrantfile", "Gemfile", "Podfile", "Capfile", "Guardfile", "Fastfile", "Brewfile"})
_INTERPRETERS = (("python", "python"), ("node", "javascript"), ("ruby", "ruby"), ("perl", "perl"), ("php", "php"), ("lua", "lua"))


def write(action: FileWrite, context: Context) -> list[Factor]:
    """A file created or replaced."""
    if not action.path.strip():
        return [normalise.unreadable("empty", "There is no path.")]
    factors = texts.without_spans(_path(action.path, context))  # places are those of the content
    factors.append(Factor("change.file-write", "change", "Writes a file.", MINOR, excerpt=action.path[:200]))
    return factors + _content(action.path, texts.decoded(action.content), context)


def delete(action: FileDelete, context: Context) -> list[Factor]:
    """A file, or a folder and all that is in it, removed."""
    if not action.path.strip():
        return [normalise.unreadable("empty", "There is no path.")]
    weight, what = (SERIOUS, "Removes a folder with everything in it.") if action.recursive else (MEDIUM, "Removes a file.")
    if action.recursive and paths.is_root(action.path):
        weight, what = CRITICAL, "Removes the system or a person's files."
    elif action.recursive and paths.normalised(action.path) in (".", "..", "*"):
        weight, what = HIGH, "Removes everything in the working directory."
    removed = Factor("destruction.delete", "destruction", what, weight, excerpt=action.path[:200], safer_alternative="Move it aside.")
    return [*_path(action.path, context), removed]


def _path(path: str, context: Context) -> list[Factor]:
    factors = texts.plain(path)
    if found := paths.write_factor(path, paths.place_of(context)):
        factors.append(found)
    return factors


def _content(path: str, content: str, context: Context) -> list[Factor]:
    """What a written file holds: secrets, and for a script what it would do, one step less grave than running it."""
    language = language_of(path, content)
    factors = texts.plain(content, prose=language is None)
    if normalise.refusal(content):
        return factors
    if language is None:
        return factors + _parts(path, content, context)
    if len(content) > MAX_SCRIPT_CONTENT:
        message = f"A script of {len(content)} characters; at most {MAX_SCRIPT_CONTENT} are analysed in a file."
        return [*factors, normalise.unreadable("too-large", message)]
    walker = Walker(context, dispatch)
    walker.given = content
    found = [*languages.assess(language, content, walker.run_text), *walker.factors]
    return factors + [_less_grave(factor, language) for factor in found if factor.weight >= HIGH or factor.category == UNREADABLE]


# What still counts of a command that runs in a container or while an image is built: its files are not the machine's.
_LEAVES_A_CONTAINER = frozenset({"execution", "exfiltration", "escape"})


def _parts(path: str, content: str, context: Context) -> list[Factor]:
    """What a file that is no script makes other programs run: as a script's, one step less grave than running it."""
    try:
        pieces = contents.pieces(path, content)
    except contents.Unread:
        return [Factor("content.unread", "content", "Writes a file of commands that was not read.", NOTE, path[:200])]
    except contents.TooLarge:
        return [normalise.unreadable("too-large", f"A file of commands of {len(content)} characters, which is more than is analysed.")]
    walker = Walker(context, dispatch)
    found: list[Factor] = []
    for piece in pieces:
        if not piece.language:
            found.append(Factor(piece.text, piece.text.partition(".")[0], piece.message, HIGH))
            continue
        before = len(walker.factors)
        of_code = languages.assess(piece.language, piece.text, walker.run_text)
        for factor in (*of_code, *walker.factors[before:]):
            counts = not piece.contained or factor.category in _LEAVES_A_CONTAINER or factor.weight >= CRITICAL
            if factor.id not in _OPEN if factor.category == UNREADABLE else counts and factor.weight >= HIGH:
                found.append(factor)
    return texts.without_spans(_less_grave(factor, "") for factor in found)


def _less_grave(factor: Factor, language: str) -> Factor:
    if factor.category == UNREADABLE:
        if language in _SCRIPTS and factor.id not in _OPEN:
            return normalise.unreadable("script", f"Writes a script that cannot be read: {factor.message}", factor.excerpt)
        return Factor("content.unread", "content", f"Writes code that was not read in full: {factor.message}", NOTE, factor.excerpt, factor.span)
    message = f"Writes what does this when it is run: {factor.message}"
    return Factor(f"content.{factor.id}", factor.category, message, MEDIUM, factor.excerpt, factor.span, factor.safer_alternative)


def language_of(path: str, content: str) -> str | None:
    """The language of a script by its first line or its extension; None for what is no script."""
    if content.startswith("#!"):
        line = content.split("\n", 1)[0]
        return next((language for word, language in _INTERPRETERS if word in line), "bash")
    name = path.replace("\\", "/").rpartition("/")[2]
    if name in _RUBY:
        return "ruby"
    return _EXTENSIONS.get(name.rpartition(".")[2].lower()) if "." in name else None
