"""Writes the rules that find tokens, from the gitleaks module (MIT): `python tools/secret_rules.py`. Needs Go.

They are gitleaks' because its rules are kept up by many, say what they find, carry their own keywords, entropies and
exceptions, and are written for RE2, the engine that untrusted text is searched with here. The module is pinned below by
version and checksum and not in tools/go.mod, where its many requirements would change the versions of the tools.

To move to another version: change VERSION and SUM (`go mod download -json` prints it), run this, read the diff, and run
the tests.
"""

import json
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

MODULE = "github.com/gitleaks/gitleaks/v8"
VERSION = "v8.30.1"
SUM = "h1:47Qm4HBVPbTTKH85chTXyHuVM5i7JT0vv3DjAApVay8="
TARGET = Path(__file__).resolve().parent.parent / "services/runtime/redaction"

NAMED = r"[\w.-]{0,50}?"
"""How gitleaks begins the pattern of a value that has no shape of its own, only a telling name before it."""

END = r"""(?:[\x60'"\s;]|\\[nr]|$)"""
"""How gitleaks ends patterns. It is for source code; in commands, tables and JSON, values end in other ways too."""

ENDS = {False: r"(?:[^0-9A-Za-z_]|$)", True: r"""(?:[\x60'"\s;,&|(){}<>\[\]]|\\[nr]|$)"""}
"""What patterns end with instead: those of tokens with a shape of their own, and NAMED ones."""

LEFT_OUT = {
    "private-key": "a rule of ours, which masks up to the end of the block, and a block that was cut",
    "kubernetes-secret-yaml": "a rule of ours, which finds every value and not only the first",
    "jwt": "a rule of ours, for which it need not be in quotes",
    "pkcs12-file": "a rule about the names of files",
    # What they find is shown to everybody who uses the service.
    **dict.fromkeys(("flutterwave-public-key", "lob-pub-api-key", "mailgun-pub-key"), "no secret: public"),
}


def module_folder() -> Path:
    """Return where the pinned module is, after its checksum was compared."""
    with tempfile.TemporaryDirectory() as empty:
        command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        answer = json.loads(subprocess.run(command, cwd=empty, check=True, capture_output=True).stdout)
    if answer["Sum"] != SUM:
        raise SystemExit(f"{MODULE}@{VERSION} has the checksum {answer['Sum']}, not {SUM}")
    return Path(answer["Dir"])


def exceptions_of(lists: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return what a rule does not mean, by where it is looked for: in the secret, the match, its line, or as words."""
    found: dict[str, list[str]] = {"secret": [], "match": [], "line": [], "words": []}
    for each in lists:
        # Exceptions that also ask for a path are about repositories, where there are paths.
        if not (each.get("paths") and each.get("condition") == "AND"):
            found[each.get("regexTarget", "secret")] += each.get("regexes", [])
            found["words"] += [word.lower() for word in each.get("stopwords", [])]
    return {name: values for name, values in found.items() if values}


def is_identifier(rule_id: str) -> bool:
    """Whether a rule finds the public half of a pair, such as the id of a client."""
    return rule_id.endswith(("-client-id", "-access-id", "-api-id"))


def rule_of(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as it is stored."""
    named = NAMED in rule["regex"]
    stored: dict[str, Any] = {
        "id": rule["id"],
        "message": rule["description"].partition(",")[0].rstrip(".") + ".",
        "pattern": rule["regex"].replace(END, ENDS[named]),
        "keywords": sorted({word.lower() for word in rule["keywords"]}),
        "named": named,
    }
    optional = {
        "entropy": rule.get("entropy"),
        "group": rule.get("secretGroup"),
        "except": exceptions_of(rule.get("allowlists", [])),
    }
    return stored | {name: value for name, value in optional.items() if value}


def main() -> None:
    """Write the rules, and the licence they are under."""
    folder = module_folder()
    config = tomllib.loads((folder / "config/gitleaks.toml").read_text())
    rules = [rule for rule in config["rules"] if rule["id"] not in LEFT_OUT and not is_identifier(rule["id"])]
    data = {
        "source": f"{MODULE}@{VERSION}/config/gitleaks.toml",
        "sum": SUM,
        "except": exceptions_of([config["allowlist"]]),
        "rules": [rule_of(rule) for rule in rules],
    }
    text = json.dumps(data, indent=1, ensure_ascii=False)
    (TARGET / "gitleaks.json").write_text(text + "\n")
    shutil.copyfile(folder / "LICENSE", TARGET / "gitleaks.LICENSE")
    print(f"{len(rules)} of {len(config['rules'])} rules written")


if __name__ == "__main__":
    main()
