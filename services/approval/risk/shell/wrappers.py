"""Programs that start another program: what they start, and what they add."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.approval.risk import scoring
from services.approval.risk.shell.words import Word


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How to find the command in a wrapper's arguments.

    `values`: options that take the next argument. `skip`: positionals before the command. `script`: options whose value is
    a shell script. `sub`: the first words that make it a wrapper ("run"). `assignments`: NAME=value words come first.
    `privilege`: runs as somebody else. `container`: the command runs inside one. `after_dashes`: the command starts after `--`.
    """

    values: str = ""
    skip: int = 0
    script: str = ""
    sub: str = ""
    assignments: bool = False
    privilege: int = 0
    container: bool = False
    after_dashes: bool = False
    hidden_input: bool = False


_RUN = Wrapper(sub="run", values="-p --project --with --python --directory -n --name -C --from -e --extra --group")

WRAPPERS: dict[str, Wrapper] = {
    "sudo": Wrapper(
        values="-u -g -h -p -C -r -t -T -U -D -R --user --group --host --prompt --chdir --chroot", assignments=True, privilege=scoring.MEDIUM
    ),
    "doas": Wrapper(values="-u -C", privilege=scoring.MEDIUM),
    "pkexec": Wrapper(values="--user", privilege=scoring.MEDIUM),
    "su": Wrapper(values="-s -g -G --shell", script="-c --command --session-command", privilege=scoring.MEDIUM, skip=1),
    "runuser": Wrapper(values="-u -s -g", script="-c --command", privilege=scoring.MEDIUM),
    "gosu": Wrapper(skip=1, privilege=scoring.MEDIUM),
    "su-exec": Wrapper(skip=1, privilege=scoring.MEDIUM),
    "setpriv": Wrapper(values="--reuid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits", privilege=scoring.MEDIUM),
    "capsh": Wrapper(script="-c", privilege=scoring.SERIOUS, after_dashes=True),
    "sg": Wrapper(skip=1, script="-c", privilege=scoring.MEDIUM),
    "run0": Wrapper(values="-u --user", privilege=scoring.MEDIUM),
    "env": Wrapper(values="-u -C --unset --chdir", script="-S --split-string", assignments=True),
    "sshpass": Wrapper(values="-p -f -d -P"),
    "nohup": Wrapper(),
    "command": Wrapper(),
    "builtin": Wrapper(),
    "exec": Wrapper(values="-a"),
    "busybox": Wrapper(),
    "toybox": Wrapper(),
    "time": Wrapper(values="-f -o --format --output"),
    "noglob": Wrapper(),
    "nocorrect": Wrapper(),
    "coproc": Wrapper(),
    "timeout": Wrapper(values="-k -s --kill-after --signal", skip=1),
    "gtimeout": Wrapper(values="-k -s", skip=1),
    "nice": Wrapper(values="-n --adjustment"),
    "ionice": Wrapper(values="-c -n -p --class --classdata"),
    "chrt": Wrapper(values="-T -P -D", skip=1),
    "taskset": Wrapper(skip=1),
    "setsid": Wrapper(),
    "stdbuf": Wrapper(values="-i -o -e"),
    "unbuffer": Wrapper(),
    "rlwrap": Wrapper(values="-f -H -a -p"),
    "setarch": Wrapper(values="", skip=1),
    "linux32": Wrapper(),
    "linux64": Wrapper(),
    "numactl": Wrapper(values="-m -N -C"),
    "prlimit": Wrapper(),
    "cpulimit": Wrapper(values="-l -p -e"),
    "choom": Wrapper(values="-n -p"),
    "xargs": Wrapper(values="-I -n -P -L -d -E -s -a -i --max-args --max-procs --delimiter --arg-file --replace", hidden_input=True),
    "parallel": Wrapper(values="-j --jobs -N -I -S --colsep -a --joblog --timeout --delay --retries", hidden_input=True),
    "watch": Wrapper(values="-n --interval"),
    "entr": Wrapper(hidden_input=True),
    "flock": Wrapper(values="-w -E --timeout", skip=1, script="-c --command"),
    "strace": Wrapper(values="-o -e -p -s -P -u -E -a -I -O -S -b -X"),
    "ltrace": Wrapper(values="-o -e -p -s -u -n -a -A -D -F -l"),
    "valgrind": Wrapper(),
    "perf": Wrapper(sub="stat|record|trace", values="-e -o -F -p -r"),
    "script": Wrapper(script="-c --command", values="-T -O -I -B -E -m"),
    "unshare": Wrapper(values="-S -G -R -w --map-user --map-group --propagation", privilege=scoring.MEDIUM),
    "nsenter": Wrapper(values="-t -S -G --target", privilege=scoring.HIGH),
    "chroot": Wrapper(skip=1, privilege=scoring.MEDIUM),
    "systemd-run": Wrapper(values="-p -u -E -M -H --unit --property --on-active --on-calendar --setenv --slice --uid --gid", privilege=scoring.MINOR),
    "systemd-inhibit": Wrapper(),
    "dbus-run-session": Wrapper(),
    "dbus-launch": Wrapper(),
    "caffeinate": Wrapper(values="-t -w"),
    "ssh-agent": Wrapper(values="-a -t"),
    "proxychains": Wrapper(values="-f"),
    "proxychains4": Wrapper(values="-f"),
    "torsocks": Wrapper(),
    "torify": Wrapper(),
    "faketime": Wrapper(values="-f", skip=1),
    "fakeroot": Wrapper(),
    "firejail": Wrapper(),
    "bwrap": Wrapper(values="--setenv --chdir --uid --gid"),
    "cgexec": Wrapper(values="-g"),
    "start-stop-daemon": Wrapper(values="-n -p -u -g -c -k -b", script="-x --exec -a --startas -S"),
    "daemonize": Wrapper(values="-p -u -c -o -e -l"),
    "softlimit": Wrapper(values="-a -c -d -f -l -m -n -o -p -r -s -t"),
    "chpst": Wrapper(values="-u -U -n -e -m -o -p"),
    "setlock": Wrapper(skip=1),
    "tini": Wrapper(),
    "dumb-init": Wrapper(),
    "with-contenv": Wrapper(),
    "logsave": Wrapper(skip=1),
    "aa-exec": Wrapper(values="-p"),
    "multitime": Wrapper(values="-n"),
    "hyperfine": Wrapper(values="-n -r -w -m -M --warmup --runs --min-runs", script="-p --prepare -c --cleanup"),
    "ld.so": Wrapper(),
    "ld-linux-x86-64.so.2": Wrapper(),
    "poetry": _RUN,
    "pipenv": _RUN,
    "uv": _RUN,
    "rye": _RUN,
    "pdm": _RUN,
    "hatch": _RUN,
    "conda": _RUN,
    "mamba": _RUN,
    "dotenv": _RUN,
    "doppler": _RUN,
    "pixi": _RUN,
    "bundle": Wrapper(sub="exec"),
    "direnv": Wrapper(sub="exec", skip=1),
    "mise": Wrapper(sub="exec|x"),
    "asdf": Wrapper(sub="exec"),
    "rustup": Wrapper(sub="run", skip=1),
    "dotenvx": _RUN,
    "op": _RUN,
    "cross-env": Wrapper(assignments=True),
    "npm": Wrapper(sub="exec", after_dashes=True),
    "nix-shell": Wrapper(script="--run --command"),
    "nix": Wrapper(sub="develop|shell", script="-c --command"),
    "tox": Wrapper(sub="exec", after_dashes=True),
    "kubectl": Wrapper(sub="exec|debug|run", after_dashes=True, container=True),
    "lxc": Wrapper(sub="exec", after_dashes=True, container=True),
    "incus": Wrapper(sub="exec", after_dashes=True, container=True),
    "multipass": Wrapper(sub="exec", skip=1, container=True),
    "machinectl": Wrapper(sub="shell", skip=1, container=True),
    "docker": Wrapper(
        sub="exec|run|container exec|container run|compose exec|compose run|create",
        container=True,
        skip=1,
        values="-e --env -u --user -w --workdir -v --volume --name -p --publish --network --net --mount -l --label --env-file --entrypoint -h --hostname"
        " --restart -m --memory --cpus --add-host --dns --device --cap-add --cap-drop --security-opt --ulimit --platform --pid --ipc --uts --userns"
        " --tmpfs --volumes-from --gpus --shm-size --log-driver --log-opt --pull --cgroupns --runtime --link --expose -f --file",
    ),
    "docker-compose": Wrapper(sub="exec|run", skip=1, container=True, values="-e -u -w -v -f -p --name --entrypoint"),
}
SSH_VALUES = frozenset("-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w -B".split())

_ASSIGNMENT = re.compile(r"^[A-Za-z_][^\s=/]*=")  # env takes names that no shell would: exported functions


@dataclass(frozen=True, slots=True)
class Inside:
    """What a wrapper starts: the words of one command, and shell scripts given as option values."""

    words: list[Word]
    scripts: list[Word]
    assignments: list[Word]
    consumed: list[Word]


def unwrap(name: str, wrapper: Wrapper, words: Sequence[Word]) -> Inside | None:
    """The inside of a wrapper's command line; None when these arguments do not make it a wrapper."""
    arguments = list(words[1:])
    if wrapper.sub:
        after = _after_sub(wrapper, arguments)
        if after is None:
            return None
        arguments = after
    values, scripts = frozenset(wrapper.values.split()), frozenset(wrapper.script.split())
    found: list[Word] = []
    assigned: list[Word] = []
    index, skip = 0, wrapper.skip
    if wrapper.after_dashes:
        at = next((i for i, w in enumerate(arguments) if w.text == "--"), None)
        if at is None:
            return Inside([], _script_values(scripts, arguments), [], arguments)
        return Inside(arguments[at + 1 :], _script_values(scripts, arguments[:at]), [], arguments[:at])
    while index < len(arguments):
        text = arguments[index].text
        option = text.partition("=")[0]
        if text == "--":
            index += 1
            while skip and index < len(arguments):
                index, skip = index + 1, skip - 1
            break
        if text.startswith("-") and len(text) > 1 and not (name == "su" and text == "-"):
            script, step = _script_option(text, option, scripts, arguments, index)
            if script is not None:
                found.append(script)
            elif text in values or (not text.startswith("--") and len(text) > 2 and f"-{text[-1]}" in values and text[1:].isalpha()):
                step = 2
            index += step
        elif wrapper.assignments and _ASSIGNMENT.match(text):
            assigned.append(arguments[index])
            index += 1
        elif name == "su" or (skip and not (name == "taskset" and text == "-c")):
            index, skip = index + 1, max(0, skip - 1)
        else:
            break
    return Inside(arguments[index:], found, assigned, arguments[:index])


def _script_option(text: str, option: str, scripts: frozenset[str], arguments: list[Word], index: int) -> tuple[Word | None, int]:
    if text in scripts or (len(text) > 2 and text[1] != "-" and f"-{text[-1]}" in scripts and text[1:].isalpha()):
        return (arguments[index + 1], 2) if index + 1 < len(arguments) else (None, 1)
    word = arguments[index]
    if "=" in text and option in scripts:
        return Word(text.partition("=")[2], word.taints), 1
    if text[:2] in scripts and text[1] != "-":
        return Word(text[2:], word.taints), 1
    return None, 1


def _script_values(scripts: frozenset[str], arguments: list[Word]) -> list[Word]:
    found = []
    for index, word in enumerate(arguments):
        script, _ = _script_option(word.text, word.text.partition("=")[0], scripts, arguments, index) if word.text[:1] == "-" else (None, 1)
        if script is not None:
            found.append(script)
    return found


def _after_sub(wrapper: Wrapper, arguments: list[Word]) -> list[Word] | None:
    """The arguments after the subcommand; options may come before it, with their values."""
    values = frozenset(wrapper.values.split()) | {"-n", "-f", "-p", "--context", "--namespace", "-H", "--kubeconfig", "--profile"}
    index = 0
    while index < len(arguments) and arguments[index].text.startswith("-"):
        index += 2 if arguments[index].text in values else 1
    for option in wrapper.sub.split("|"):
        parts = option.split()
        if [w.text for w in arguments[index : index + len(parts)]] == parts:
            return arguments[index + len(parts) :]
    return None
