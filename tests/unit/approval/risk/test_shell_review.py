"""Ways past the walker that a review found, and work that a review found without bounds."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, Level, assess
from tests.support.patience import ends


@pytest.mark.parametrize(
    "script",
    [
        "rm(){ :; }; bash -c 'rm -rf /'",
        "shopt -s expand_aliases\nalias rm=ls\nsh -c 'rm -rf /'",
        "compgen -C 'rm -rf /'",
        "compgen -W '$(rm -rf /)'",
        "[[ 'a[$(rm -rf /)]' -eq 1 ]]",
        "[[ -v 'a[$(rm -rf /)]' ]]",
        # a copy of a program, a link to one, or another name for one
        "cp /bin/rm x; ./x -rf /",
        "mv /bin/rm x; ./x -rf /",
        "cp $(which rm) x; cp x y; ./y -rf /",
        "install -m 755 $(command -v rm) x; ./x -rf /",
        "dd if=/bin/rm of=x; ./x -rf /",
        "ln -s /bin/rm x; ./x -rf /",
        "ln /bin/rm x && ./x -rf /",
        "ln -s /bin/busybox rm; ./rm -rf /",
        "cp /bin/rm /usr/local/bin/x; x -rf /",
        "cp /usr/bin/env e; ./e rm -rf /",
        "cp /bin/bash b; ./b -c 'rm -rf /'",
        "hash -p /bin/rm ls; ls -rf /",
        # a file that is written in one way and run in another
        "printf 'rm -rf /' | dd of=x; bash x",
        "printf 'rm -rf /tmp/x' | dd of=x count=8 bs=1; bash x",
        "cp /dev/stdin x <<< 'rm -rf /'; sh x",
        "echo 'rm -rf /' | install -m 755 /dev/stdin x; ./x",
        "sort -o x <<< 'rm -rf /'; sh x",
        "echo 'rm -rf /' > x; sort -o x x; sh x",
        "echo 'rm -rf /' | uniq - x; sh x",
        "echo 'rm -rf /' | sponge x; sh x",
        "echo 'rm -rf /' | split - x; sh xaa",
        "echo 'rm -rf /' | cat /dev/stdin > x; sh x",
        "echo 'rm -rf /' | awk '{print > \"x\"}'; sh x",
        "echo 'rm -rf /' | bash < /dev/stdin",
        "sed -i '1i rm -rf /' s.sh; sh s.sh",
        "sed -i -e '1i\\\nrm -rf /' s.sh; ./s.sh",
        "sed -i 's/a/rm -rf \\//' s.sh; sh s.sh",
        "printf '1i\nrm -rf /\n.\nw\nq\n' | ed s.sh; sh s.sh",
        "perl -e 'print 1' > x; sh < x",
        # a named pipe that is read before it is written to
        "mkfifo p; bash < p & echo 'rm -rf /' > p",
        "mkfifo p; bash p & echo 'rm -rf /' > p",
        "mknod p p; cat p | bash & echo 'rm -rf /' > p",
        "sh 0<&1",
        # the second variable of a word
        "A=et; B=c; cat /$A$B/shadow",
        "D=/$A/$B/data; D=$HOME/$X/../../etc; rm -rf $D",
        "A=/; B=etc; X=$A$B/passwd ; echo x > $X",
        'B=etc; cat ${A:-/}$B/shadow "$A"/$B/shadow',
        "`echo r``echo m` -rf ~/models",
    ],
)
def test_ways_past_the_walker_ask(script: str) -> None:
    assert assess(Command(script=script)).level > Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "log() { echo \"$1\"; }; bash -c 'echo hi'; log done",
        "compgen -c | head",
        '[[ "${a[0]}" -eq 1 ]] && echo yes',
        "[[ $x =~ ^[a-z]+$ ]]",
        '[[ "${a[$(( i + 1 ))]}" == \'x\' ]] && echo "${a[${i}]}"',
        "ls | sort | uniq -c | sort -rn | head",
        "cp ./tool x; ./x -rf out",
        "ln -s ../tools/check check; ./check",
        'JQ=$(command -v jq) || exit 1; "$JQ" . a.json',
        "sed -i 's/DEBUG=0/DEBUG=1/' run.sh && ./run.sh",
        "sed -i 's#^version=.*#version=1.2#; 1i # made' build.sh; bash build.sh",
        "sort -u -o names.txt names.txt; sort -k 2 -t , a.csv",
        "mkfifo p; sort < p & ls > p",
        "echo 5>count; echo failed 1>&2; ls 2>&1",
    ],
)
def test_their_everyday_likes_pass(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize("part", ["a|", "find . -exec ", "docker run x ", "sudo ", "env A=1 ", "xargs ", "a|&"])
def test_work_and_memory_are_bounded_between_the_caps(part: str) -> None:
    with ends():
        for size in (20_000, 60_000, 120_000):
            assess(Command(script=(part * size)[:size]))
