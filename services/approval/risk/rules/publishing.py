"""Package registries: what others would install."""

from __future__ import annotations

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.invocation import Invocation


def _system_install(call: Invocation) -> bool:
    return call.privileged


RULES = (
    Rule("publishing.remove", "npm pnpm yarn", HIGH, "Takes a published package away from its users.", sub="unpublish|npm unpublish"),
    Rule("publishing.remove", "npm pnpm yarn", SERIOUS, "Tells users to stop using a package.", sub="deprecate *|owner *|access *|npm deprecate|dist-tag rm|team *|token *|hook *",
         when=lambda c: c.positionals[0] != "deprecate" or len(c.positionals) > 2 or "@" in c.positionals[-1]),
    Rule("publishing.publish", "npm pnpm yarn cargo gem poetry twine uv flit hatch mvn gradle dotnet nuget pod", SERIOUS, "Publishes a package to everybody.",
         sub="publish *|push *|upload *|publish|upload|deploy|npm publish|nuget push|trunk push|release *", when=lambda c: c.name in ("cargo", "gem", "poetry", "twine", "uv", "flit", "hatch", "nuget", "dotnet", "pod", "mvn") or "publish" in c.positionals,
         safer="Run it with --dry-run."),
    Rule("publishing.remove", "cargo gem", HIGH, "Takes a published package away.", sub="yank *|yank|owner *"),
    Rule("packages.remove", "apt apt-get aptitude yum dnf zypper pacman apk brew snap flatpak port emerge choco scoop winget rpm dpkg", SERIOUS, "Removes programs from the system.",
         when=lambda c: bool({"remove", "purge", "autoremove", "erase", "uninstall", "delete", "del", "rm"} & set(c.positionals[:1])) or bool(c.flags & {"-R", "-Rs", "-Rns", "-e", "--purge", "--erase", "--remove", "-r", "-P"} and c.name in ("pacman", "rpm", "dpkg")),
         safer="Leave system packages to the image or to an administrator."),
    Rule("packages.install", "apt apt-get aptitude yum dnf zypper pacman apk snap flatpak port emerge choco winget rpm dpkg pkg", MEDIUM, "Installs programs into the system.",
         when=lambda c: bool({"install", "upgrade", "dist-upgrade", "full-upgrade", "add", "localinstall", "groupinstall", "in", "build-dep"} & set(c.positionals[:1])) or bool(c.flags & {"-S", "-Syu", "-U", "-i", "--install", "-ivh"} and c.name in ("pacman", "rpm", "dpkg")),
         safer="Use a container or a virtual environment."),
    Rule("packages.install-remote", "pip pipx npm pnpm yarn gem cargo go bun", MINOR, "Installs packages, whose set-up code runs.", sub="install *|add *|i *|get *",
         when=lambda c: True),
    Rule("packages.untrusted-source", "pip pipx npm pnpm yarn gem go cargo uv", MEDIUM, "Installs code from an address instead of the registry.", sub="install *|add *|i *",
         when=lambda c: any(p.startswith(("http://", "https://", "git+", "git:", "ftp://")) for p in c.positionals[1:]) or bool(c.flags & {"--index-url", "--extra-index-url", "-i", "--registry", "--trusted-host"})),
    Rule("packages.system-wide", "pip npm gem", MEDIUM, "Installs packages for the whole system.", sub="install *", when=_system_install),
    Rule("packages.global", "pip", MEDIUM, "Overrides the protection of the system's own packages.", flags="--break-system-packages"),
    Rule("packages.uninstall", "pip npm pnpm yarn gem cargo", MINOR, "Removes packages.", sub="uninstall *|remove *|rm *"),
    Rule("packages.run-remote", "npx pnpx bunx uvx pipx", MINOR, "Fetches a package and runs it.", when=lambda c: bool({"-y", "--yes", "run"} & set(c.args))),
)  # fmt: skip
