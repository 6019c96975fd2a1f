"""What is masked when stored is not quoted by factors either, however the command is given."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, assess

PASSWORD = "hunter2xyzzy"


@pytest.mark.parametrize("password", [PASSWORD, "correcthorse"])
@pytest.mark.parametrize(
    "argv",
    [
        ("sudo", "useradd", "-p", "{}", "bob"),
        ("sudo", "smbclient", "-U", "bob%{}", "//host/share"),
        ("sudo", "mysql", "-uroot", "-p{}", "-e", "drop table t"),
    ],
)
def test_factors_quote_no_secret(argv: tuple[str, ...], password: str) -> None:
    given = tuple(word.format(password) for word in argv)
    for action in (
        Command(argv=given),
        Command(script=" ".join(f"'{word}'" if " " in word else word for word in given)),
    ):
        factors = assess(action).factors
        assert factors
        assert not [
            factor for factor in factors if password in f"{factor.message} {factor.excerpt} {factor.safer_alternative}"
        ]
