"""Shell escapes: ordinary programs that are made to run a shell, a script or a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.scoring import HIGH
from services.approval.risk.shell.flows import LOOKERS, SPEAKERS
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

# Both are searched in the joined arguments, where \x00 is what is between two of them.
_SHELL_WORD = patterns.compile(r"(?:^|[\x00\s'\"=:!;,(/|&`])/?(?:(?:usr/)?(?:local/)?bin/)(?:ba|da|z|k|a|c|tc|fi|mk)?sh(?:$|[\x00\s'\";,)\\:|&`<>])")
_EXECUTES = patterns.compile(
    r"(?i)(?:\bos\.(?:system|exec\w*|popen|execute|spawn\w*)|\bsubprocess\b|\bpty\.spawn|\bposix\.exec|\bchild_process\b|\bruntime\.getruntime|\bprocessbuilder\b"
    r"|\bshell_exec\b|\bpassthru\b|\bproc_open\b|\bpopen\s*\(|\bsystem\s*\(|\bexec\s*\(|\bio\.popen|\bterm\s+\"/|\bspawn\s+/|\bexecve?\b|(?:^|[\x00\s])!\s*/\w|/tcp/\d)"
)

_TYPED_BANG = patterns.compile(r"(?:^|\n)\s*!\s*(?:/\S*/)?(?:ba|da|z|k|c|tc|fi)?sh\b")  # what leaves a pager, an editor or a client for a shell
_TYPED = 4096  # characters of what is typed in which it is looked for

_SHELL_NAMES = frozenset("sh bash dash zsh ksh csh tcsh fish ash".split())

# Programs for which a shell's path is an ordinary operand.
_ORDINARY = frozenset(
    "chsh ldd md5sum sha256sum sha1sum cksum sum cmp diff cat head tail less more strings nm objdump readelf hexdump xxd od cp ls file docker docker-compose kubectl useradd usermod "
    "grep egrep fgrep rg ag ack git sed rsync scp dpkg rpm apt apt-get apk yum dnf brew type hash command update-alternatives update-shells add-shell gcc-ldd size "
    "shellcheck shfmt bat wc sort jq yq cut tr chmod chown install mv tar zip unzip touch ln gh".split()
)

# Programs whose code is read by a detector of its own, and tools whose tests and patterns name such code.
_READ_ELSEWHERE = frozenset("make npm yarn pytest python node perl ruby php lua awk bash sh psql mysql sqlite3 curl eslint".split())
# Programs that start the program which they are given.
_TAKE_A_PROGRAM = frozenset("screen tmux gdb expect rlwrap dosbox xterm konsole gnome-terminal ssh socat scanmem torify unshare ld.so".split())


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """A shell's path, or code that starts programs, in the arguments of a program that has no business with either."""
    name = call.name
    if name in SPEAKERS or name in LOOKERS or name in _ORDINARY:
        return
    text = call.joined
    typed = call.stdin.text
    if typed is not None and _TYPED_BANG.search(typed[:_TYPED]):
        walker.flag("escape.bang", HIGH, "Types a shell into a program that reads commands.", call.excerpt, "Run the command itself.", call.span)
    starts = name in _TAKE_A_PROGRAM and len(call.args) <= 3 and not _SHELL_NAMES.isdisjoint(call.args)
    if starts or ("sh" in text and _SHELL_WORD.search(text)):
        walker.flag("escape.shell-argument", HIGH, "Makes an ordinary program start a shell.", call.excerpt, "Run the command itself.", call.span)
    elif name not in _READ_ELSEWHERE and _EXECUTES.search(text):
        walker.flag(
            "escape.code-argument",
            HIGH,
            "Makes an ordinary program run code that starts others.",
            call.excerpt,
            "Run the command itself.",
            call.span,
        )
