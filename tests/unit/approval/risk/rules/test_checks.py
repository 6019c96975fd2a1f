"""What the checks that are code find, and what they leave alone."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, Level, assess


def ids(line: str) -> set[str]:
    return {factor.id for factor in assess(Command(script=line)).factors}


@pytest.mark.parametrize(
    ("line", "factor"),
    [
        ("rename 's/^/_/' /etc/*.conf", "sensitive-path.write-system"),
        ("anything --threads 4 --algo rx/0 --url 10.0.0.1:1", "network.crypto-miner"),
        ("docker run -d image --algo=kawpow", "network.crypto-miner"),
        ("anything -o stratum+tcp://pool.example.com:1", "network.crypto-miner"),
        ("anything x=/bin/sh y", "escape.shell-argument"),
        ("screen bash", "escape.shell-argument"),
        ("anything 'os.execute(1)'", "escape.code-argument"),
        ("anything -c '!/usr/bin/id'", "escape.code-argument"),
        ("docker run -v /:/host alpine ls", "container.escape"),
        ("docker run --mount type=bind,source=/etc,target=/x alpine ls", "container.escape"),
        ("docker run -v /var/run/docker.sock:/x alpine ls", "container.escape"),
    ],
)
def test_found(line: str, factor: str) -> None:
    assert factor in ids(line)


@pytest.mark.parametrize(
    ("line", "factor"),
    [
        ("rename -n 's/a/b/' *.txt", "sensitive-path.write-system"),
        ("echo stratum+tcp://pool.example.com", "network.crypto-miner"),
        ("pip install ethash", "network.crypto-miner"),
        ("find . ! /x", "escape.code-argument"),
        ("ls /bin/sh", "escape.shell-argument"),
        ("anything /usr/bin/shellcheck", "escape.shell-argument"),
        ("docker run -v ./data:/etc/app alpine ls", "container.escape"),
        ("docker run --mount type=volume,source=data,target=/etc alpine ls", "container.escape"),
    ],
)
def test_left_alone(line: str, factor: str) -> None:
    assert factor not in ids(line)


def test_words_of_two_arguments_are_not_read_as_one() -> None:
    assert "escape.code-argument" not in ids("anything ! /x")
    assert assess(Command(script="anything a/bin /sh")).level is Level.LOW
