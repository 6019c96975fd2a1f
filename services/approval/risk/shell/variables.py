"""Variables that change what later programs do: what they load, run, write down, or find under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.words import Value

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_PRELOAD = frozenset("LD_PRELOAD LD_AUDIT DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH".split())
_RUNS_ITS_VALUE = frozenset(
    "BASH_ENV ENV PROMPT_COMMAND PS4 GIT_SSH_COMMAND GIT_SSH GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_ASKPASS PAGER MANPAGER "
    "EDITOR VISUAL LESSOPEN LESSCLOSE BROWSER SSH_ASKPASS SUDO_ASKPASS SUDO_EDITOR SYSTEMD_EDITOR RSYNC_RSH CVS_RSH FCEDIT PSQL_EDITOR".split()
)
_RUNS_ITS_VALUE_ENDS = ("PAGER", "EDITOR", "ASKPASS", "_BROWSER")  # AWS_PAGER, SYSTEMD_PAGER, KUBE_EDITOR, HGEDITOR
# What make and configure scripts run under another name; compilers that Cargo starts. A bare name is read as nothing else than itself.
PROGRAM_VARIABLES = frozenset(
    "AR AS CC CXX CPP FC LD LEX YACC MAKEINFO TEX RM INSTALL NM RANLIB STRIP OBJCOPY RUSTC RUSTDOC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER".split()
)
_FROM_ANYWHERE = frozenset("OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES PYTHONPATH PYTHONHOME NODE_PATH RUBYLIB CLASSPATH GEM_HOME".split())
_ANYBODYS = ("/tmp/", "/var/tmp/", "/dev/shm/")  # folders that everybody may write to
_JAVA_OPTIONS = frozenset("MAVEN_OPTS GRADLE_OPTS SBT_OPTS ANT_OPTS JAVA_OPTS CATALINA_OPTS JDK_JAVA_OPTIONS MAVEN_ARGS LEIN_JVM_OPTS".split())
_JAVA_LOADS = ("-javaagent:", "-agentpath:", "-XX:OnError", "-XX:OnOutOfMemoryError", "-Xbootclasspath")
_LOADED_FROM = frozenset("LD_LIBRARY_PATH DYLD_LIBRARY_PATH GCONV_PATH PERL5LIB".split())
_OWN_PROGRAMS = patterns.compile(r"^(?::|\.|/(?:tmp|var/tmp|dev/shm)(?:[/:]|$)|\w)")
_HISTORY_OFF = {"HISTFILE": ("/dev/null", ""), "HISTSIZE": ("0",), "HISTFILESIZE": ("0",), "SAVEHIST": ("0",)}
# Settings of Git and make that name programs to run, without a word of it on the command line.
_HIDDEN_SETTINGS = patterns.compile(r"^(?:GIT_CONFIG(?:_\w+)?|GIT_EXEC_PATH|GIT_PROXY_COMMAND|GIT_TEMPLATE_DIR|MAKEFILES)$")
_LOADS_CODE = patterns.compile(r"-e|-M|-r|-d|--require|--import|--eval|agent|/|BEGIN")
_STARTUP_VARIABLES = patterns.compile(r"^(?:PERL5OPT|PERL5DB|RUBYOPT|NODE_OPTIONS|PYTHONSTARTUP|PYTHONINSPECT|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS)$")


def check_assignment(walker: Walker, name: str, value: Value) -> None:
    """Variables that change what later programs do."""
    if name in _PRELOAD and value.text:
        walker.flag("persistence.preload", scoring.HIGH, f"{name} loads code into every program started from here.", f"{name}={value.text}")
    elif name in _HISTORY_OFF and value.text in _HISTORY_OFF[name]:
        walker.flag("evasion.history-off", scoring.MEDIUM, "Turns off the record of commands.", f"{name}={value.text}")
    elif (name in _RUNS_ITS_VALUE or name.endswith(_RUNS_ITS_VALUE_ENDS)) and value.text:
        if name in ("BASH_ENV", "PROMPT_COMMAND"):
            walker.flag("persistence.shell-hook", scoring.MEDIUM, f"{name} runs code in every shell.", f"{name}={value.text}")
        if HIDDEN not in value.text:
            walker.run_text(value.text)
    elif name in PROGRAM_VARIABLES and " " in value.text:
        if HIDDEN not in value.text:
            walker.run_text(value.text)
    elif name in PROGRAM_VARIABLES or name in _FROM_ANYWHERE:
        if any(each.startswith(_ANYBODYS) and not walker.state.files.is_own(each) for each in value.text.split(":")):
            walker.flag("persistence.preload", scoring.MEDIUM, f"{name} names code that anybody may have put there.", f"{name}={value.text}")
    elif name == "GOFLAGS" and "-toolexec=" in value.text:
        walker.flag("escape.hidden-setting", scoring.MEDIUM, f"{name} can make the program run other programs.", f"{name}={value.text}")
        walker.run_text(value.text.partition("-toolexec=")[2].strip("'\""))
    elif name in _JAVA_OPTIONS and any(option in value.text for option in _JAVA_LOADS):
        walker.flag("persistence.interpreter-hook", scoring.MEDIUM, f"{name} makes an interpreter run more code.", f"{name}={value.text}")
    elif name in _LOADED_FROM and value.text:
        walker.flag("persistence.preload", scoring.MEDIUM, f"{name} says where programs load code from.", f"{name}={value.text}")
    elif name == "SSH_AUTH_SOCK" and (HIDDEN in value.text or value.text.startswith("/tmp/ssh-")):
        walker.flag("credential.agent", scoring.MEDIUM, "Uses the keys of an agent that it found.", f"{name}={value.text}")
    elif name == "PATH" and _OWN_PROGRAMS.match(value.text):
        walker.flag("evasion.path", scoring.MEDIUM, "Puts a folder of its own before the system's programs.", f"PATH={value.text}")
    elif name.startswith("BASH_FUNC_") or name in ("BASH_ALIASES", "BASH_CMDS"):
        # bash imports the first as a function, and looks programs up in the others: it runs under the name of any program.
        walker.flag("persistence.shell-hook", scoring.HIGH, f"{name} replaces a program by shell code.", f"{name}={value.text}")
    elif _HIDDEN_SETTINGS.match(name) or (name in ("MAKEFLAGS", "GNUMAKEFLAGS") and "eval" in value.text):
        if value.text not in ("/dev/null", ""):
            walker.flag("escape.hidden-setting", scoring.MEDIUM, f"{name} can make the program run other programs.", f"{name}={value.text}")
    elif _STARTUP_VARIABLES.match(name) and _LOADS_CODE.search(value.text):
        walker.flag("persistence.interpreter-hook", scoring.MEDIUM, f"{name} makes an interpreter run more code.", f"{name}={value.text}")
