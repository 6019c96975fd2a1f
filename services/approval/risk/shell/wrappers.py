"""Programs that start another program: how to find what they start in their arguments. The table is in `wrapper_table`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.approval.risk.shell import options
from services.approval.risk.shell.options import Syntax
from services.approval.risk.shell.words import Word


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How a wrapper's arguments are read.

    `syntax`: its options. `scripts`: options whose value is a shell script. `programs`: options whose value is the program that
    is started, its arguments being the operands. `skip`: operands before the command. `subs`: the first words that make it a
    wrapper, one of them ("compose", "exec"). `assignments`: NAME=value words come before the command. `privilege`: the weight of
    running with other rights. `place`: "container" or "remote" when the command does not run on this machine. `end`: what ends
    the options. `after_dashes`: the command starts after `--` and nowhere else. `text`: the words are shell scripts: one text
    ("joined"), one each ("each"), or one when it is alone ("lone"). `input`: the command also gets what is read from standard input. `shell_rest`: the operands are arguments of a shell.
    `permutes`: options may come after operands. `examples`: command lines in which `{}` is the command and `{q}` the command
    as one quoted word; each is a test.
    """

    syntax: Syntax = field(default_factory=Syntax)
    scripts: frozenset[str] = frozenset()
    programs: frozenset[str] = frozenset()
    skip: int = 0
    subs: tuple[tuple[str, ...], ...] = ()
    assignments: bool = False
    privilege: int = 0
    place: str = ""
    end: frozenset[str] = frozenset({"--"})
    after_dashes: bool = False
    text: str = ""
    input: bool = False
    shell_rest: bool = False
    permutes: bool = False
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class Inside:
    """What a wrapper starts. `words`: one command. `scripts`: shell scripts given as option values. `assigned`: NAME=value words.
    `consumed`: the wrapper's own arguments. `options`: its options as they were read. `doubtful`: another reading of the words,
    when an option that is not in the table stands right before them and may have taken the first."""

    words: list[Word] = field(default_factory=list)
    scripts: list[Word] = field(default_factory=list)
    assigned: list[Word] = field(default_factory=list)
    consumed: list[Word] = field(default_factory=list)
    options: list[options.Option] = field(default_factory=list)
    doubtful: list[Word] = field(default_factory=list)


def unwrap(wrapper: Wrapper, words: Sequence[Word]) -> Inside | None:
    """The inside of a wrapper's command line; None when these arguments do not make it a wrapper."""
    inside = Inside()
    arguments = list(words[1:])
    index = 0
    if wrapper.subs:
        after = _after_sub(wrapper, arguments, inside)
        if after is None:
            return None
        index = after
    skip = wrapper.skip
    program: Word | None = None
    kept: list[Word] = []
    if wrapper.after_dashes:
        dash = next((i for i in range(index, len(arguments)) if arguments[i].text == "--"), len(arguments))
        found, _ = options.split(wrapper.syntax, arguments[index:dash])
        inside.options += found
        inside.scripts += options.given(found, *wrapper.scripts)
        inside.consumed = arguments[:dash]
        inside.words = arguments[dash + 1 :]
        return inside
    unsure = shifted = False  # an option that is not in the table was read last; it stood right before an operand
    while index < len(arguments):
        word = arguments[index]
        text = word.text
        if text in wrapper.end:
            index, skip, unsure = index + 1 + (skip if text == "--" else 0), 0, False
            break
        if options.is_option(text):
            found = options.read(wrapper.syntax, arguments, index)
            inside.options += found
            for option in found:
                if option.value is None:
                    continue
                if option.name in wrapper.scripts:
                    inside.scripts.append(option.value)
                elif option.name in wrapper.programs:
                    program = option.value
            unsure = bool(found) and not found[-1].known
            index += found[-1].taken if found else 1
            continue
        shifted = shifted or unsure
        if wrapper.assignments and _assigns(text):
            inside.assigned.append(word)
        elif text == "-" and (wrapper.permutes or wrapper.assignments):  # su - user, env - cmd
            pass
        elif skip:
            skip -= 1
            if program is not None and not skip:  # docker run --entrypoint sh image -c TEXT: the rest is for that program
                index += 1
                break
        elif wrapper.permutes and not options.given(inside.options, "-u", "--user"):  # runuser -u user cmd is as sudo
            kept.append(word)
        else:
            break
        unsure = False
        index += 1
    while wrapper.assignments and index < len(arguments) and _assigns(arguments[index].text):
        inside.assigned.append(arguments[index])
        index += 1
    inside.words = [*kept, *arguments[index:]]
    if program is not None:
        inside.words = [program, *inside.words]
    elif shifted and len(inside.words) > 1:
        inside.doubtful = inside.words[1:]
    inside.consumed = arguments[:index]
    return inside


def _assigns(text: str) -> bool:
    """Whether `env` takes a word for NAME=value; it takes names that no shell would: exported functions."""
    name, equals, _ = text.partition("=")
    return bool(equals) and (name[:1].isalpha() or name[:1] == "_") and "/" not in name and " " not in name


def _after_sub(wrapper: Wrapper, arguments: Sequence[Word], inside: Inside) -> int | None:
    """The position after the subcommand; options may come before it, with their values."""
    index = 0
    while index < len(arguments) and options.is_option(arguments[index].text):
        found = options.read(wrapper.syntax, arguments, index)
        inside.options += found
        taken = found[-1].taken if found else 1
        # an option that is not known may take the next word, unless that is the subcommand
        if found and not found[-1].known and not _sub_at(wrapper, arguments, index + 1) and _sub_at(wrapper, arguments, index + 2):
            taken = 2
        index += taken
    return _sub_at(wrapper, arguments, index)


def _sub_at(wrapper: Wrapper, arguments: Sequence[Word], index: int) -> int | None:
    for sub in wrapper.subs:
        at = index
        for part in sub:
            while part is not sub[0] and at < len(arguments) and options.is_option(arguments[at].text):  # compose -f x exec
                found = options.read(wrapper.syntax, arguments, at)
                at += found[-1].taken if found else 1
            if at >= len(arguments) or arguments[at].text != part:
                break
            at += 1
        else:
            return at
    return None
