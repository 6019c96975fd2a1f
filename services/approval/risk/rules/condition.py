"""The condition language of rules: a mapping of what must hold for a command, compiled once into one function.

Every key of a mapping must hold. A *test* looks at one word; a plain string is a pattern that the word must contain.

| key                                      | holds when                                                                       |
|------------------------------------------|----------------------------------------------------------------------------------|
| `sub: [push, remote rm]`                 | the first positional words match one of these, a glob a word, in any case         |
| `flags: -f --force`                      | one of these options is given; `-rf` counts as -r and -f, `--a=b` as --a           |
| `without: -n --help`                     | none of these options is given                                                   |
| `arg: TEST`                              | some argument, option or not, passes                                             |
| `positional: {at: 2, ...TEST}`           | the 2nd positional word passes; `at: -1` is the last, `from: 2` any from there on |
| `value: {of: -m --mode, ...TEST}`        | a value given to one of these options passes                                     |
| `line: PATTERN`                          | the arguments, joined by spaces, contain it                                      |
| `min_args`, `max_args`                   | there are at least, at most so many arguments                                    |
| `min_positionals`, `max_positionals`     | the same for positional words                                                    |
| `stdin: true`                            | something is fed to it                                                           |
| `privileged: true`                       | it runs with other rights, as through sudo                                       |
| `use: NAME`                              | the condition that the pack defines under that name                              |
| `all: [...]`, `any: [...]`, `not: {...}` | all, any, none of these conditions                                               |

| test                     | passes when the word                                                            |
|--------------------------|---------------------------------------------------------------------------------|
| `is: stop delete-*`      | is one of these, in any case; `*` and `?` are globs                               |
| `matches: PATTERN`       | contains the pattern (RE2)                                                      |
| `path: root startup`     | is a path of one of these classes; `root` would end the system or a home, `temporary` is where anybody may write |
| `hidden: true`           | is not known, or not wholly, before the command runs; what the script started itself counts as known |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.approval.risk import patterns
from services.approval.risk.detectors import paths
from services.approval.risk.shell.invocation import Invocation

Predicate = Callable[[Invocation], bool]
WordTest = Callable[[str], bool]

MAX_CONDITIONS = 200  # mappings of one rule's condition, nested ones included
MAX_PATTERN = 1000  # characters of one pattern: more than a person reads
MAX_LINE = 1 << 16  # characters of a joined line that are searched; a longer line has `arg` and the other keys only
PATH_CLASSES = frozenset(each.id for each in paths.CLASSES) | {"root", "temporary"}

_TESTS = ("is", "matches", "path", "hidden")
_OWN = frozenset({paths.STARTED, f"-{paths.STARTED}"})  # with the dash: a group of processes


class Wrong(ValueError):
    """What is wrong with a piece of a pack, in words for its author."""


class Compiler:
    """Compiles the conditions of one rule; `defined` are those that its pack gives names to."""

    def __init__(self, defined: Mapping[str, Predicate]) -> None:
        self._defined = defined
        self._seen = 0

    def condition(self, spec: object) -> Predicate:
        """The function that says whether a mapping's conditions all hold. Raises Wrong."""
        self._seen += 1
        if self._seen > MAX_CONDITIONS:
            raise Wrong(f"more than {MAX_CONDITIONS} conditions; make several rules of it")
        if not isinstance(spec, dict) or not spec:
            raise Wrong(f"a condition is a mapping of {', '.join(_ORDER)}, not {shown(spec)}")
        if unknown := spec.keys() - _KEYS.keys():
            raise Wrong(f"{shown(min(unknown))} is no condition; there are {', '.join(_ORDER)}")
        return _every([_KEYS[key](self, spec[key]) for key in _ORDER if key in spec])

    def _all(self, spec: object) -> Predicate:
        return _every([self.condition(each) for each in _sequence(spec, "all")])

    def _any(self, spec: object) -> Predicate:
        tests = tuple(self.condition(each) for each in _sequence(spec, "any"))
        return lambda call: any(test(call) for test in tests)

    def _not(self, spec: object) -> Predicate:
        test = self.condition(spec)
        return lambda call: not test(call)

    def _use(self, spec: object) -> Predicate:
        if not isinstance(spec, str) or spec not in self._defined:
            raise Wrong(f"use: {shown(spec)} is not under `define`; it has {', '.join(sorted(self._defined)) or 'nothing'}")
        return self._defined[spec]


def _every(tests: Sequence[Predicate]) -> Predicate:
    if len(tests) == 1:
        return tests[0]
    found = tuple(tests)

    def holds(call: Invocation) -> bool:
        for test in found:  # noqa: SIM110 - a generator would cost as much as the tests themselves
            if not test(call):
                return False
        return True

    return holds


def shown(value: object) -> str:
    """A piece of a pack as messages quote it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def words_of(spec: object, key: str) -> tuple[str, ...]:
    """Words given as one string, separated by spaces, or as a list. Raises Wrong."""
    if isinstance(spec, str):
        found = tuple(spec.split())
    elif isinstance(spec, list) and all(isinstance(word, str) and word for word in spec):
        found = tuple(spec)
    else:
        found = ()
    if not found:
        raise Wrong(f"{key}: must be words, as one string or as a list, not {shown(spec)}")
    return found


def first_words(spec: object) -> frozenset[str] | None:
    """The words that a command must begin with for a condition to hold, in lower case; None when that could be any."""
    if not isinstance(spec, dict):
        return None
    if "sub" in spec:
        found = frozenset(run[0] for run in alternatives(spec["sub"]))
        if not any(map(is_glob, found)):
            return found
    each = [first_words(inner) for inner in spec.get("any", ())]
    if each and all(words is not None for words in each):
        return frozenset().union(*(words for words in each if words is not None))
    return next((words for inner in spec.get("all", ()) if (words := first_words(inner)) is not None), None)


def alternatives(spec: object) -> tuple[tuple[str, ...], ...]:
    """The alternatives of a `sub`, each a run of globs. Raises Wrong."""
    lines = [spec] if isinstance(spec, str) else spec
    if not isinstance(lines, list) or not lines or not all(isinstance(line, str) and line.strip() for line in lines):
        raise Wrong(f"sub: must be a subcommand or a list of them, not {shown(spec)}")
    return tuple(tuple(line.lower().split()) for line in lines)


def is_glob(word: str) -> bool:
    """Whether a word has a part that stands for others: `*` for any letters, `?` for one."""
    return "*" in word or "?" in word


def _sequence(spec: object, key: str) -> list[object]:
    if not isinstance(spec, list) or not spec:
        raise Wrong(f"{key}: must be a list of conditions, not {shown(spec)}")
    return spec


def _number(spec: object, key: str) -> int:
    if isinstance(spec, str) and spec.removeprefix("-").isdigit() and len(spec) <= 4:
        return int(spec)
    raise Wrong(f"{key}: must be a number, not {shown(spec)}")


def _pattern(spec: object, key: str) -> patterns.Pattern:
    if not isinstance(spec, str) or not spec:
        raise Wrong(f"{key}: must be a pattern, not {shown(spec)}")
    if len(spec) > MAX_PATTERN:
        raise Wrong(f"{key}: a pattern of {len(spec)} characters, at most {MAX_PATTERN} are read; make several rules of it, or use `is`")
    try:
        return patterns.compile(spec)
    except patterns.PatternError as error:
        raise Wrong(f"{key}: {error}; RE2 has no look-around and no back-references") from error


def _yes(spec: object, key: str) -> None:
    if spec != "true":
        raise Wrong(f"{key}: can only be true; put it under `not` to ask for the opposite")


def _one_of(words: Iterable[str]) -> WordTest:
    """Whether a word, in any case, is one of these or matches one of the globs among them."""
    lowered = [word.lower() for word in words]
    exact = frozenset(word for word in lowered if not is_glob(word))
    starts = tuple(word[:-1] for word in lowered if word.endswith("*") and len(word) > 1 and not is_glob(word[:-1]))
    globs = _globs([(word,) for word in lowered if is_glob(word) and word[:-1] not in starts])

    def test(word: str) -> bool:
        low = word.lower()
        return low in exact or (bool(starts) and low.startswith(starts)) or (globs is not None and globs.match(low) is not None)

    return test


_BETWEEN = "\0"  # between words that are matched as one text; no argument can have it


def _globs(runs: Sequence[tuple[str, ...]]) -> patterns.Pattern | None:
    """One pattern for runs of globs, a glob a word, over words joined by _BETWEEN."""
    if not runs:
        return None
    each = (_BETWEEN.join(map(_glob, run)) for run in runs)
    return patterns.compile(f"(?s)^(?:{'|'.join(each)})(?:{_BETWEEN}|$)")


def _glob(word: str) -> str:
    letters = {"*": f"[^{_BETWEEN}]*", "?": f"[^{_BETWEEN}]"}
    return "".join(letters.get(letter) or patterns.escape(letter) for letter in word)


def _of_classes(names: tuple[str, ...]) -> WordTest:
    for name in names:
        if name not in PATH_CLASSES:
            raise Wrong(f"path: {name!r} is no class of paths; there are {', '.join(sorted(PATH_CLASSES))}")
    classes = frozenset(names) - {"root", "temporary"}
    root, temporary = "root" in names, "temporary" in names

    def one(path: str) -> bool:
        if classes and (found := paths.classify(path)) is not None and found.id in classes:
            return True
        return (root and paths.is_root(path)) or (temporary and paths.is_temporary(path))

    def test(word: str) -> bool:
        _, equals, value = word.partition("=")
        return one(word) or (bool(equals) and one(value))

    return test


def _word_test(spec: object, key: str, also: tuple[str, ...] = ()) -> WordTest:
    """The test of one word: a pattern, or a mapping of tests that must all pass for the same word."""
    if isinstance(spec, str):
        search = _pattern(spec, key).search
        return lambda word: search(word) is not None
    if not isinstance(spec, dict) or not spec.keys() & set(_TESTS):
        raise Wrong(f"{key}: must be a pattern, or a mapping with one of {', '.join(_TESTS)}, not {shown(spec)}")
    if unknown := spec.keys() - set(_TESTS) - set(also):
        raise Wrong(f"{key}: {shown(min(unknown))} is no test; there are {', '.join((*_TESTS, *also))}")
    tests: list[WordTest] = []
    if "hidden" in spec:
        _yes(spec["hidden"], f"{key}.hidden")
        tests.append(lambda word: paths.HIDDEN in word and word not in _OWN)
    if "is" in spec:
        tests.append(_one_of(words_of(spec["is"], f"{key}.is")))
    if "matches" in spec:
        search = _pattern(spec["matches"], f"{key}.matches").search
        tests.append(lambda word: search(word) is not None)
    if "path" in spec:
        tests.append(_of_classes(words_of(spec["path"], f"{key}.path")))
    if len(tests) == 1:
        return tests[0]
    found = tuple(tests)
    return lambda word: all(test(word) for test in found)


def _sub(_: Compiler, spec: object) -> Predicate:
    runs = alternatives(spec)
    exact = frozenset(run for run in runs if not any(map(is_glob, run)))
    lengths = tuple(sorted({len(run) for run in exact}))
    globbed = [run for run in runs if run not in exact]
    globs, longest = _globs(globbed), max(map(len, globbed), default=0)

    def holds(call: Invocation) -> bool:
        given = call.lowered
        if any(given[:length] in exact for length in lengths):
            return True
        return globs is not None and bool(given) and globs.match(_BETWEEN.join(given[:longest])) is not None

    return holds


def _flags(_: Compiler, spec: object) -> Predicate:
    wanted = frozenset(options_of(spec, "flags"))
    return lambda call: not wanted.isdisjoint(call.flags)


def _without(_: Compiler, spec: object) -> Predicate:
    unwanted = frozenset(options_of(spec, "without"))
    return lambda call: unwanted.isdisjoint(call.flags)


def options_of(spec: object, key: str) -> tuple[str, ...]:
    """Options given as words. Raises Wrong."""
    words = words_of(spec, key)
    for word in words:
        if not word.startswith(("-", "+")) or word in ("-", "--"):
            raise Wrong(f"{key}: {word!r} is no option, it does not start with a dash; use `arg: {{is: {word}}}`")
    return words


_ANCHORS = ("^", "$", "\\A", "\\z")  # signs of a pattern that may depend on where a word begins or ends


def _arg(_: Compiler, spec: object) -> Predicate:
    test = _word_test(spec, "arg")
    if not isinstance(spec, str) or any(anchor in spec for anchor in _ANCHORS):
        return lambda call: any(test(arg) for arg in call.args)
    # What is in an argument is in all of them together: one search instead of many where it is in none.
    return lambda call: test(call.joined) and any(test(arg) for arg in call.args)


def _positional(_: Compiler, spec: object) -> Predicate:
    if not isinstance(spec, dict) or ("at" in spec) == ("from" in spec):
        raise Wrong(f"positional: must be a mapping with either at or from, and a test, not {shown(spec)}")
    test = _word_test(spec, "positional", ("at", "from"))
    if "from" in spec:
        first = _number(spec["from"], "positional.from") - 1
        if first < 0:
            raise Wrong("positional.from: positional words are counted from 1")
        return lambda call: any(test(word) for word in call.positionals[first:])
    at = _number(spec["at"], "positional.at")
    if at == 0:
        raise Wrong("positional.at: positional words are counted from 1, or from the end with -1")
    index = at - 1 if at > 0 else at
    needed = at if at > 0 else -at
    return lambda call: len(call.positionals) >= needed and test(call.positionals[index])


def _value(_: Compiler, spec: object) -> Predicate:
    if not isinstance(spec, dict) or "of" not in spec:
        raise Wrong(f"value: must be a mapping with of and a test, not {shown(spec)}")
    test = _word_test(spec, "value", ("of",))
    options = options_of(spec["of"], "value.of")
    return lambda call: any(test(value) for value in call.values(*options))


def _line(_: Compiler, spec: object) -> Predicate:
    search = _pattern(spec, "line").search
    return lambda call: len(call.line) <= MAX_LINE and search(call.line) is not None


def _min_args(_: Compiler, spec: object) -> Predicate:
    number = _number(spec, "min_args")
    return lambda call: len(call.args) >= number


def _max_args(_: Compiler, spec: object) -> Predicate:
    number = _number(spec, "max_args")
    return lambda call: len(call.args) <= number


def _min_positionals(_: Compiler, spec: object) -> Predicate:
    number = _number(spec, "min_positionals")
    return lambda call: len(call.positionals) >= number


def _max_positionals(_: Compiler, spec: object) -> Predicate:
    number = _number(spec, "max_positionals")
    return lambda call: len(call.positionals) <= number


def _stdin(_: Compiler, spec: object) -> Predicate:
    _yes(spec, "stdin")
    return lambda call: call.stdin.present


def _privileged(_: Compiler, spec: object) -> Predicate:
    _yes(spec, "privileged")
    return lambda call: call.privileged


# In the order in which they are tried: what costs least, and fails most, comes first.
_KEYS: dict[str, Callable[[Compiler, object], Predicate]] = {
    "flags": _flags,
    "without": _without,
    "privileged": _privileged,
    "stdin": _stdin,
    "min_args": _min_args,
    "max_args": _max_args,
    "sub": _sub,
    "min_positionals": _min_positionals,
    "max_positionals": _max_positionals,
    "positional": _positional,
    "value": _value,
    "arg": _arg,
    "line": _line,
    "use": Compiler._use,
    "any": Compiler._any,
    "all": Compiler._all,
    "not": Compiler._not,
}
_ORDER = tuple(_KEYS)
