"""The parser's limits: no text crashes it, none holds it up."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tree_sitter_bash

from services.approval.risk.syntax import Grammar, TooComplex

GRAMMAR = Grammar(tree_sitter_bash.language(), stand_in="\x02")


def test_letters_of_rare_scripts_do_not_crash_the_scanner() -> None:
    """A scanner that looks code points up in a table of 256 ends the process, so it is a process that tries."""
    program = (
        "from services.approval.risk import Command, assess\n"
        "for point in [*range(0x80, 0xD800, 97), *range(0xE000, 0x110000, 997)]:\n"
        "    assess(Command(script='{' + chr(point) * 3 + '..2} $' + chr(point)))\n"
        "print('answered')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr[-500:]


def test_offsets_are_those_of_the_source() -> None:
    source = "échø 'ü' && rm ☃".encode()
    tree = GRAMMAR.parse(source)
    last = tree.root_node.named_children[0].named_children[-1].named_children[-1]
    assert source[last.start_byte : last.end_byte].decode() == "☃"


@pytest.mark.parametrize("text", ["$[ 1 + ", "for ((;", "[[ a =~ ("])
def test_text_made_to_be_slow_is_too_complex(text: str) -> None:
    with pytest.raises(TooComplex):
        GRAMMAR.parse(text.encode() * 4000)


@pytest.mark.parametrize(
    "text", ["echo hello world; ls -la | grep x\n", 'for i in 1 2; do echo "$(date +%F)" $((i+1)); done\n']
)
def test_well_formed_text_of_any_length_is_parsed(text: str) -> None:
    assert not GRAMMAR.parse(text.encode() * 4000).root_node.has_error
