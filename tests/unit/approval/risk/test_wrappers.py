"""Programs that start another program: every example of the table, and what else their options can look like."""

from __future__ import annotations

import shlex

import pytest

from services.approval.risk import Command, Level, assess
from services.approval.risk.shell.wrapper_table import WRAPPERS

RISKY = ["rm -rf build", "cat /etc/shadow", "git push --force", "dd if=x of=/dev/sda"]
EXAMPLES = sorted({example.replace("NAME", name) for name, wrapper in WRAPPERS.items() for example in wrapper.examples})


def level(script: str) -> Level:
    return assess(Command(script=script)).level


def filled(example: str, command: str) -> str:
    program, _, arguments = command.partition(" ")
    return (
        example.replace("{}", command)
        .replace("{q}", shlex.quote(command))
        .replace("{p}", program)
        .replace("{a}", arguments)
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_wrapper_never_lowers_a_level(example: str) -> None:
    for risky in RISKY:
        assert level(filled(example, risky)) >= level(risky), filled(example, risky)


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_a_wrapper_starts_is_read_and_not_guessed(example: str) -> None:
    def ids(script: str) -> set[str]:
        return {factor.id for factor in assess(Command(script=script)).factors}

    assert "destruction.recursive-delete" in ids(filled(example, "rm -rf build"))
    assert not any(factor.startswith("unreadable") for factor in ids(filled(example, "rm -rf build")))


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("sudo", "docker exec c {}"),
        ("env A=1", "timeout 5 {}"),
        ("nohup nice -n 5", "xargs {}"),
        ("timeout -k 1 5", "kubectl exec p -- {}"),
    ],
)
def test_wrappers_in_wrappers_are_taken_off(inner: str, outer: str) -> None:
    assert level(outer.replace("{}", f"{inner} rm -rf /")) is Level.CRITICAL


@pytest.mark.parametrize(
    "script",
    [
        "sudo --brand-new-option value rm -rf build",  # an option that no table has may take the next word or not
        "nice -q rm -rf build",
        "docker run --brand-new value image rm -rf build",
        "sudo --us root rm -rf build",  # a shortened option
        "kubectl exec pod rm -- -rf /data",
        "docker exec -i c sh <<< 'rm -rf /data'",
        "docker run --entrypoint rm image -rf /data",
        "echo 'rm -rf build' | parallel",
        "parallel rm -rf {} ::: a b",
        "parallel 'ls {}; rm -rf {}' ::: a",
        "xargs -I{} sh -c 'rm -rf {}'",
        "find . -print0 | xargs -0 -n1 sh -c 'rm -rf \"$0\"'",
        "sh -c '$0 -rf build' rm",
        "bash -c '\"$1\" -rf build' _ rm",
        "bash -c -e 'rm -rf build'",
        "bash +e -o pipefail -c 'rm -rf build'",
        "su - deploy -s /bin/bash -c 'rm -rf build'",
        "env -iS 'rm -rf' build",
        "watch 'ls; rm -rf build'",
        "hyperfine ls 'rm -rf build'",
        "/lib/ld-musl-x86_64.so.1 /bin/rm -rf build",
        "systemd-run --user --on-calendar=daily rm -rf build",
        "tmux new -d 'rm -rf build'",
        "tmux send-keys -t x 'rm -rf build' Enter",
        "screen -dmS x rm -rf build",
        "cmake -E env A=1 rm -rf build",
        "gcloud compute ssh vm --command='rm -rf /data'",
        "vagrant ssh -c 'rm -rf /data'",
    ],
)
def test_the_command_is_found_whatever_the_options(script: str) -> None:
    assert any(factor.category == "destruction" for factor in assess(Command(script=script)).factors)


@pytest.mark.parametrize(
    "script",
    [
        "timeout 60 npm test",
        "env FOO=1 npm test",
        "nice -n 10 make -j4",
        "time make",
        "docker run --rm -v $PWD:/w -w /w image make test",
        "docker compose exec -T web pytest -q",
        "kubectl exec pod -- ls /",
        "npx eslint .",
        "npm exec -- prettier --check .",
        "uv run pytest -q",
        "poetry run python -m pytest",
        "bundle exec rspec",
        "find . -name '*.py' -exec grep -n TODO {} +",
        "git ls-files | xargs grep -n TODO",
        "ls | xargs -n1 basename",
        "parallel convert {} {.}.png ::: a.jpg b.jpg",
        "watch -n 5 kubectl get pods",
        "stdbuf -oL tail -f app.log | grep ERROR",
        "strace -f -o out.txt ls",
        "sh -c 'cd x && make'",
        "xvfb-run -a npm test",
        "command -v git",
        "ssh host uptime",
        "script -q out.txt -c 'make test'",
        "conda run -n env python train.py",
        "op run --env-file=.env.template -- npm start",
    ],
)
def test_everyday_wrapped_commands_are_low(script: str) -> None:
    assert level(script) is Level.LOW, assess(Command(script=script)).factors
