"""Shell escapes: ordinary programs that are made to run a shell, a script or a library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.flows import LOOKERS, SPEAKERS
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_SHELL_WORD = re.compile(r"(?:^|[\s'\"=:!;,(/|&`])/?(?:(?:usr/)?(?:local/)?bin/)(?:ba|da|z|k|a|c|tc|fi|mk)?sh(?:$|[\s'\";,)\\:|&`<>])")
_EXECUTES = re.compile(
    r"(?i)(?:\bos\.(?:system|exec\w*|popen|execute|spawn\w*)|\bsubprocess\b|\bpty\.spawn|\bposix\.exec|\bchild_process\b|\bruntime\.getruntime|\bprocessbuilder\b"
    r"|\bshell_exec\b|\bpassthru\b|\bproc_open\b|\bpopen\s*\(|\bsystem\s*\(|\bexec\s*\(|\bio\.popen|\bterm\s+\"/|\bspawn\s+/|\bexecve?\b|(?:^|\s)!\s*/\w|/tcp/\d)"
)

RULES = (
    Rule("escape.sed", "sed", HIGH, "Runs commands from within sed.", when=lambda c: any(re.search(r"(?:^|[;{\s\d$/])e(?:\s+\S|$)|/[gipmI\d]*e[gipmI\d]*$|^\d*e\s", a) and not a.startswith("-") and re.match(r"^(?:\d+|\$)?e\b|^s(.).*\1.*\1\w*e\w*$", a) for a in c.args)),
    Rule("escape.gcc", "gcc g++ cc clang c++ cpp", HIGH, "Runs a program in place of a compiler part.", flags="-wrapper -fplugin -B -specs", when=lambda c: "-wrapper" in c.args or any(a.startswith(("-fplugin=", "-specs=/", "-B/tmp")) for a in c.args)),
    Rule("escape.nmap", "nmap", HIGH, "Runs a script or opens a shell.", flags="--script --interactive"),
    Rule("escape.man", "man less more", HIGH, "Runs a program in place of the pager.", flags="-P --pager -H --html", when=lambda c: c.name == "man"),
    Rule("escape.gdb", "gdb", MINOR, "Runs a program under a debugger."),
    Rule("escape.interactive", "ed ftp screen script lftp telnet jjs jrunscript irb ghci crash byebug", MEDIUM, "Opens a program in which a shell can be opened, and nobody sees what is typed.",
         when=lambda c: not c.positionals and not c.stdin.present and not c.flags & {"-ls", "-list", "--version", "--help", "-v"} and "-c" not in c.flags),
    Rule("escape.rare", "debugfs dmsetup ginsh gtester ncftp pdb psftp scanmem tasksh tdbtool pry wish run-mailcap pic cpan easy_install crash minicom", MEDIUM, "A program that opens a shell or runs code on request.", without="--version --help"),
    Rule("escape.rare", "dotnet", MEDIUM, "Opens an interpreter whose input nobody sees.", sub="fsi"),
    Rule("escape.rare", "php", MEDIUM, "Opens an interpreter whose input nobody sees.", flags="-a"),
    Rule("escape.rare", "screen", MEDIUM, "Takes over another session.", flags="-x"),
    Rule("escape.options", "cowsay cowthink", HIGH, "Loads code from a file.", flags="-f", arg=r"^[/.]"),
    Rule("escape.options", "neofetch", HIGH, "Loads code from a file.", flags="--config"),
    Rule("escape.options", "pandoc", MEDIUM, "Runs a filter program.", flags="-L --lua-filter -F --filter"),
    Rule("escape.options", "wget", HIGH, "An option runs a program.", when=lambda c: any(a.startswith("--on-") for a in c.args)),
    Rule("network.raw", "openssl", MEDIUM, "Opens a raw network connection.", sub="s_client", flags="-quiet"),
    Rule("escape.script-host", "expect ed emacs vimdiff nano pico pilot crash ftp gimp irb jjs jrunscript loginctl mysql-shell ksh rlogin rpm-shell rvim screen tmux-shell scapy tclsh wish zathura aspell-shell", MINOR, "A program from which a shell can be opened."),
    Rule("escape.options", "split", HIGH, "Runs a command for every part.", flags="--filter"),
    Rule("escape.options", "sort", HIGH, "Runs a program to compress.", flags="--compress-program"),
    Rule("escape.options", "dmsetup dmesg aspell", MINOR, "Runs a pager.", flags="-H"),
    Rule("escape.options", "tcpdump", HIGH, "Runs a command for every file.", flags="-z"),
    Rule("escape.options", "zip", HIGH, "Runs a command to test an archive.", flags="-TT --unzip-command"),
    Rule("escape.options", "pip pip3", MEDIUM, "Runs the set-up code of a local folder.", sub="install", when=lambda c: any(p.startswith(("/tmp", "$", "\ufffc")) for p in c.positionals[1:])),
    Rule("escape.options", "apt apt-get", HIGH, "An option runs a command.", when=lambda c: any(re.match(r"(?i)^-?o?=?(?:apt|dpkg)::[\w:-]*(?:pre-|post-)?invoke", a) for a in c.args)),
    Rule("escape.options", "dnf yum rpm rpmbuild", HIGH, "An option runs a command.", flags="--eval --pipe -E"),
    Rule("escape.options", "wget", HIGH, "An option runs a program.", flags="--use-askpass"),
    Rule("escape.options", "openssl", HIGH, "Loads code into a program.", flags="-engine -provider-path"),
    Rule("escape.options", "sqlite3", HIGH, "Runs a command from a database client.", arg=r"(?is).*\.(?:shell|system|load)\b"),
    Rule("escape.options", "psql mysql", HIGH, "Runs a command from a database client.", arg=r"(?s).*\\!"),
    Rule("escape.options", "rake bundler rails", MEDIUM, "Runs code given on the command line.", flags="-e -p --execute"),
    Rule("escape.options", "rails", MEDIUM, "Runs code given on the command line.", sub="runner|console"),
    Rule("escape.options", "composer npm", MEDIUM, "Runs scripts of a folder.", flags="--working-dir --scripts-prepend-node-path", when=lambda c: any("tmp" in a or "\ufffc" in a for a in c.args)),
    Rule("escape.options", "ansible ansible-playbook", SERIOUS, "Runs a command on machines.", when=lambda c: any(m in ("shell", "command", "raw", "script") for m in c.values("-m", "--module-name"))),
    Rule("escape.options", "tmux screen dtach abduco", MEDIUM, "Runs a command in another terminal.", when=lambda c: bool({"send-keys", "new-session", "new-window", "-X", "stuff", "run-shell", "respawn-pane", "pipe-pane", "-dmS", "-dm", "-c"} & set(c.args)) and (bool({"send-keys", "run-shell", "stuff", "-X", "pipe-pane", "-dmS", "-dm"} & set(c.args)) or len(c.positionals) > 1)),
    Rule("escape.options", "lua5.1 luatex lualatex latex pdflatex tex xetex pdftex xelatex", HIGH, "Lets a document run commands.", flags="--shell-escape -shell-escape --enable-write18 -enable-write18"),
    Rule("escape.options", "gnuplot octave ghc ghci ginsh genie rscript gs ghostscript dvips byebug cobc crash hping3 puppet puppetd-shell jupyter ipython", MINOR, "Runs code of another language."),
    Rule("escape.options", "gs", MEDIUM, "Lets a document touch files.", flags="-dNOSAFER"),
    Rule("escape.options", "ctags scrot socat timedatectl xelatex-shell cabal", MINOR, "Runs a program through an option.", flags="--exec -e -x --options"),
    Rule("escape.options", "cabal stack ghc", MEDIUM, "Runs a program through an option.", flags="-e", arg=r".*(?:sh|System)"),
    Rule("escape.options", "mount", HIGH, "Puts something else in place of a program.", flags="-o", when=lambda c: "bind" in c.args and any("/bin/" in a for a in c.args)),
    Rule("escape.library", "ssh-keygen openvpn restic rsync-ssl nginx-t", HIGH, "Loads a library or runs a command.", flags="--script-security --up --password-command -D"),
    Rule("escape.library", "nginx apache2 httpd", MINOR, "Starts a server with another configuration.", flags="-c -f"),
    Rule("escape.library", "dpkg dpkg-deb rpm gem cpan cpanm luarocks pear pecl easy_install", MINOR, "Installs a package whose scripts run."),
    Rule("escape.editors", "visudo sudoedit crontab-e vipw git-edit", MEDIUM, "Opens an editor with other rights."),
    Rule("escape.facter", "facter puppet", MEDIUM, "Runs code from a folder or the command line.", flags="--custom-dir -e"),
    Rule("escape.run-parts", "run-parts", SERIOUS, "Runs every program in a folder.", without="--list --test"),
    Rule("escape.run-mailcap", "run-mailcap xdg-open open see", MINOR, "Opens a file with whatever is set for it.", flags="--action"),
    Rule("escape.debugger", "lldb pdb rdebug byebug radare2 r2 dlv", MEDIUM, "Runs code under a debugger.", flags="-c -o --batch --one-line -e -ex"),
    Rule("escape.compile", "javac jshell", MINOR, "Runs code of another language."),
)  # fmt: skip

# Programs for which a shell's path is an ordinary operand.
_ORDINARY = frozenset(
    "chsh ldd md5sum sha256sum sha1sum cksum sum cmp diff cat head tail less more strings nm objdump readelf hexdump xxd od cp ls file docker docker-compose kubectl useradd usermod "
    "grep egrep fgrep rg ag ack git sed rsync scp dpkg rpm apt apt-get apk yum dnf brew type hash command update-alternatives update-shells add-shell gcc-ldd size "
    "shellcheck shfmt bat wc sort jq yq cut tr chmod chown install mv tar zip unzip touch ln gh".split()
)


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """A shell's path, or code that starts programs, in the arguments of a program that has no business with either."""
    name = call.name
    if name in SPEAKERS or name in LOOKERS or name in _ORDINARY:
        return
    for arg in call.args:
        if len(arg) > 65536:
            continue
        if _SHELL_WORD.search(arg) or (re.match(r"^(?:ba|da|z|k|c|tc|fi|a)?sh$", arg) and len(call.args) <= 3 and _starts_programs(name, call)):
            walker.flag("escape.shell-argument", HIGH, "Makes an ordinary program start a shell.", call.excerpt, "Run the command itself.", call.span)
            return
        if _EXECUTES.search(arg) and name not in (
            "make",
            "npm",
            "yarn",
            "pytest",
            "python",
            "node",
            "perl",
            "ruby",
            "php",
            "lua",
            "awk",
            "bash",
            "sh",
            "psql",
            "mysql",
            "sqlite3",
            "curl",
            "eslint",
        ):
            walker.flag(
                "escape.code-argument",
                HIGH,
                "Makes an ordinary program run code that starts others.",
                call.excerpt,
                "Run the command itself.",
                call.span,
            )
            return


def _starts_programs(name: str, call: Invocation) -> bool:
    return name in (
        "screen",
        "tmux",
        "gdb",
        "expect",
        "rlwrap",
        "dosbox",
        "xterm",
        "konsole",
        "gnome-terminal",
        "ssh",
        "socat",
        "scanmem",
        "torify",
        "unshare",
        "ld.so",
    )
