"""Files that programs run a part of: what a Dockerfile, a makefile, a workflow, a notebook or a unit would run.

Each reader gives pieces of shell or of a language, which are assessed as if they were run, and findings that only the file's own
format has (a container with the host's rights). What cannot be read is said with Unread; what such a file runs by other means
(a template's loop, an included file) is not seen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from services.approval.risk import patterns

MAX_CONFIG = 1 << 18  # characters of a file of values (JSON, YAML): libyaml needs about 1 µs a character
MAX_LINES = 1 << 15  # characters of a file of lines, whose commands take 20 µs a character; nobody writes one of that length
MAX_DEPTH = 60  # containers inside containers; nobody nests configuration deeper


class Unread(Exception):
    """A file of a format that is known, and that cannot be read: most are templates of such files, and as they are nobody can run them."""


class TooLarge(Exception):
    """A file that is longer than what is read."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a file would run: `text` in a `language`; with an empty one a finding, whose id is `text` and message is `message`.

    `contained`: it runs while an image is built or inside a container, where the system's files are not the machine's.
    """

    language: str
    text: str
    contained: bool = False
    message: str = ""


Reader = Callable[[str], Iterator[Piece]]


def pieces(path: str, content: str) -> list[Piece]:
    """What the file at `path` would run; none where its name says nothing. Raises Unread and TooLarge."""
    reader = _reader(path)
    if reader is None:
        return []
    if len(content) > (MAX_CONFIG if reader in (_json, _yaml, _notebook) else MAX_LINES):
        raise TooLarge
    return list(reader(content))


def _reader(path: str) -> Reader | None:
    name = path.replace("\\", "/").rpartition("/")[2].lower()
    stem, _, ending = name.rpartition(".")
    if name in _LOCKS:
        return None
    if name in _NAMED:
        return _NAMED[name]
    if name.startswith(("dockerfile.", "containerfile.", "makefile.")):
        return _NAMED[name.partition(".")[0]]
    if stem and stem.partition(".")[0] == "jenkinsfile":
        return _jenkins
    return _ENDINGS.get(ending) if stem else None


# -- formats of lines ------------------------------------------------------------------------------------------------------------

_INSTRUCTION = patterns.compile(r"(?i)^\s*(?:ONBUILD\s+)?(RUN|CMD|ENTRYPOINT|HEALTHCHECK|ADD)\s+((?:--\S+\s+)*)(.*)$")
_HERE_DOCUMENT = patterns.compile(r"^<<-?[\"']?(\w+)[\"']?\s*$")
_ADDRESS = patterns.compile(r"(?i)^[\[\s\"']*https?://")


def _docker(content: str) -> Iterator[Piece]:
    lines = iter(content.split("\n"))
    for line in lines:
        while line.rstrip().endswith("\\"):
            following = next(lines, "")
            while following.lstrip().startswith("#"):  # a comment between the lines of an instruction
                following = next(lines, "")
            line = f"{line.rstrip()[:-1]} {following}"
        found = _INSTRUCTION.match(line)
        if found is None:
            continue
        kind, flags, rest = found.group(1).upper(), found.group(2), found.group(3)
        if kind == "ADD":
            if _ADDRESS.match(rest) and "--checksum" not in flags:
                yield Piece("", "execution.fetched-layer", True, "Puts a file from the network, of any content, into the image.")
            continue
        if kind == "HEALTHCHECK":
            rest = rest.partition("CMD")[2].strip()
        if here := _HERE_DOCUMENT.match(rest):
            body: list[str] = []
            for each in lines:
                if each.strip() == here.group(1):
                    break
                body.append(each)
            rest = "\n".join(body)
        yield Piece("bash", _exec_form(rest), contained=True)


def _exec_form(text: str) -> str:
    """The command line of a JSON list of words; any other text as it is."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(words, list):
            return shlex.join(str(word) for word in words)
    return text


_MAKE_VARIABLE = patterns.compile(r"^(?:export\s+)?([A-Za-z_]\w*)\s*[:?]{0,2}=\s*([^$#]*)$")
_MAKE_CALL = patterns.compile(r"\$[({](?:shell\s+([^()]*)|([A-Za-z_]\w*)|[^(){}]*)[)}]")
_MAKE_AUTOMATIC = patterns.compile(r"\$[@<^*?+%|]|\$\([@<^*?+%|][DF]\)")


def _make(content: str) -> Iterator[Piece]:
    constants: dict[str, str] = {}
    recipe: list[str] = []
    for line in [*content.replace("\\\n", "\\\v").split("\n"), ""]:
        if line.startswith("\t"):
            recipe.append(line.replace("\\\v", "\\\n").lstrip("\t @-+"))
            continue
        if recipe:
            yield Piece("bash", _expanded("\n".join(recipe), constants))
            recipe = []
        variable = _MAKE_VARIABLE.match(line)
        if variable is not None:
            constants[variable.group(1)] = variable.group(2).strip()
        for call in _MAKE_CALL.finditer(line):
            if call.group(1):
                yield Piece("bash", _expanded(call.group(1), constants))


def _expanded(text: str, constants: Mapping[str, str]) -> str:
    """A recipe as the shell gets it: make's constants in their places, its other variables left to be unknown."""

    def value(call: patterns.Match) -> str:
        if call.group(1):
            return f"$({call.group(1)})"
        name = call.group(2)
        return constants.get(name, f"${{{name}}}") if name else "made"

    parts = [_MAKE_AUTOMATIC.sub("target", part) for part in text.split("$$")]
    return "$".join(_MAKE_CALL.sub(value, part) for part in parts)


_UNIT_COMMAND = patterns.compile(r"^\s*Exec\w*\s*=[-@:+!|\s]*(.+)$")
_CRON_LINE = patterns.compile(r"^\s*(?:@\w+|(?:[\d*/,LW?#A-Za-z-]+\s+){5})\s*(.+)$")


def _unit(content: str) -> Iterator[Piece]:
    for line in content.replace("\\\n", " ").split("\n"):
        if found := _UNIT_COMMAND.match(line):
            yield Piece("bash", found.group(1))


def _crontab(content: str) -> Iterator[Piece]:
    for line in content.split("\n"):
        if not line.lstrip().startswith("#") and (found := _CRON_LINE.match(line)):
            yield Piece("bash", found.group(1))


_LOCAL_COMMAND = patterns.compile(r"(?m)^\s*command\s*=\s*(?:\"((?:[^\"\\\n]|\\.)*)\"|<<-?\s*\"?(\w+)\"?\s*$)")
_INTERPOLATED = patterns.compile(r"\$\{[^{}]*\}")


def _terraform(content: str) -> Iterator[Piece]:
    if "local-exec" not in content:
        return
    for found in _LOCAL_COMMAND.finditer(content):
        text = (found.group(1) or "").replace('\\"', '"').replace("\\n", "\n")
        if found.group(2):
            text = content[found.end() :].partition(f"\n{found.group(2)}")[0]
        yield Piece("bash", _INTERPOLATED.sub("${interpolated}", text))


_JENKINS_STEP = patterns.compile(r"\bsh\b[\s(]*(?:script:\s*)?(?:'''((?s:.*?))'''|\"\"\"((?s:.*?))\"\"\"|'([^'\n]*)'|\"((?:[^\"\\\n]|\\.)*)\")")


def _jenkins(content: str) -> Iterator[Piece]:
    for found in _JENKINS_STEP.finditer(content):
        yield Piece("bash", _INTERPOLATED.sub("${interpolated}", next((text for text in found.groups() if text), "")))


# -- formats of values -----------------------------------------------------------------------------------------------------------

# Fields whose text is run by a shell, and those that hold one command's words; of a task for Ansible both are a module's arguments.
_SHELL = frozenset(
    "run script before_script after_script shell cmd cmds commands command entrypoint entry raw bash sh exec preinstall install postinstall "
    "prepare preprepare postprepare prepublish prepublishonly prepack postpack pretest test posttest prebuild build postbuild prestart start "
    "poststart postcreatecommand postupdatecommand initializecommand oncreatecommand win_shell win_command pre post".split()
)
_MANIFEST_GROUPS = frozenset({"scripts"})  # of package.json: every field under it is a command
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ash"})
_TEMPLATE_LINE = patterns.compile(r"(?m)^\s*\{\{.*\}\}\s*$")
_EXPRESSION = patterns.compile(r"\$?\{\{[^{}]*\}\}|\$\[\[[^\[\]]*\]\]")  # of a workflow's or a playbook's own template


def _json(content: str) -> Iterator[Piece]:
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise Unread from error
    except ValueError:  # editors take comments and a comma too many, and so does YAML
        yield from _yaml(_COMMENT_LINE.sub("", content).replace("\t", " "))
    else:
        yield from _values(value)


_COMMENT_LINE = patterns.compile(r"(?m)^\s*//.*$")


def _notebook(content: str) -> Iterator[Piece]:
    try:
        cells = json.loads(content)["cells"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise Unread from error
    code: list[str] = []
    for cell in cells if isinstance(cells, list) else []:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        first, _, rest = text.partition("\n")
        if first.startswith("%%"):
            words = first[2:].split()
            if words[:1] and words[0] in _SHELLS | {"script"}:
                yield Piece("bash", rest)
            elif words[:1] and words[0] in ("time", "timeit", "capture"):
                code.append(rest)
            continue
        for line in text.split("\n"):
            if line.lstrip().startswith("!"):
                yield Piece("bash", line.lstrip()[1:])
        code.append("\n".join("pass" if line[:1] in "!%" and line else line for line in text.split("\n")))
    yield Piece("python", "\n".join(code))


def _yaml(content: str) -> Iterator[Piece]:
    try:
        documents = list(_documents(content))
    except (yaml.YAMLError, ValueError) as error:
        if "{{" not in content:
            raise Unread from error
        try:  # a template of one
            documents = list(_documents(_EXPRESSION.sub("expression", _TEMPLATE_LINE.sub("", content))))
        except (yaml.YAMLError, ValueError):
            raise Unread from error
    for each in documents:
        yield from _values(each)


def _documents(content: str) -> Iterator[object]:
    """The documents of a YAML stream as lists, mappings and texts, without a call per level of nesting and without its tags."""
    stack: list[list[object]] = []
    anchors: dict[str, object] = {}
    for event in yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        value: object
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if len(stack) >= MAX_DEPTH:
                raise Unread
            stack.append([event.anchor, isinstance(event, yaml.MappingStartEvent)])
            continue
        if isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            anchor, mapping, *parts = stack.pop()
            value = {str(k): v for k, v in zip(parts[::2], parts[1::2], strict=False)} if mapping else parts
        elif isinstance(event, yaml.ScalarEvent):
            anchor, value = event.anchor, event.value
        elif isinstance(event, yaml.AliasEvent):
            # Only a text is put in its place: a container is seen where it is defined, and copies of copies would never end.
            known = anchors.get(str(event.anchor), "")
            anchor, value = None, known if isinstance(known, str) else ""
        else:
            continue
        if isinstance(anchor, str):
            anchors[anchor] = value
        if stack:
            stack[-1].append(value)
        else:
            yield value


def _values(top: object) -> Iterator[Piece]:
    """What the commands of an object of any shape are, and what it gives to containers and roles."""
    todo: list[tuple[object, bool, bool]] = [(top, False, False)]
    while todo:
        value, contained, commands = todo.pop()
        if isinstance(value, list):
            todo.extend((each, contained, False) for each in reversed(value))
        elif isinstance(value, dict):
            contained = contained or isinstance(value.get("image"), str)
            yield from _rights(value)
            for name, each in value.items():
                key = str(name).lower().rpartition(".")[2]
                if commands or key in _SHELL:
                    yield from _commands(each, value if key in ("command", "entrypoint") else {}, contained=contained)
                todo.append((each, contained, key in _MANIFEST_GROUPS))


def _commands(value: object, beside: Mapping[str, object], *, contained: bool) -> Iterator[Piece]:
    words = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
    if beside and (words or (isinstance(value, str) and " " not in value)):
        more = beside.get("args")
        words = [*(words or [str(value)]), *(str(each) for each in (more if isinstance(more, list) else []) if isinstance(each, str | int))]
    if beside and words and " " not in words[0]:
        yield Piece("bash", _EXPRESSION.sub("$expression", shlex.join(words)), contained)
    elif isinstance(value, str):
        yield Piece("bash", _EXPRESSION.sub("$expression", value), contained)
    elif words:
        yield Piece("bash", _EXPRESSION.sub("$expression", "\n".join(words)), contained)


def _rights(value: Mapping[str, object]) -> Iterator[Piece]:
    """What an object says that gives rights over the machine or the cluster."""
    role = value.get("roleRef")
    if str(value.get("kind")) in ("ClusterRoleBinding", "RoleBinding") and isinstance(role, dict) and role.get("name") == "cluster-admin":
        yield Piece("", "cluster.admin", False, "Gives every right over the cluster.")
    if str(value.get("privileged")).lower() in ("true", "yes", "on"):
        yield Piece("", "container.privileged", False, "Runs a container with the machine's own rights.")
    if any(str(value.get(each)).lower() == "true" for each in ("hostPID", "hostIPC")) or value.get("pid") == "host":
        yield Piece("", "container.host", False, "Runs a container that sees the machine's processes.")
    host = value.get("hostPath")
    mounted = [str(host.get("path", ""))] if isinstance(host, dict) else []
    volumes = value.get("volumes")
    for each in volumes if isinstance(volumes, list) else []:
        mounted.append(each.partition(":")[0] if isinstance(each, str) else str(each.get("source", "")) if isinstance(each, dict) else "")
    for each in mounted:
        if each.rstrip("/") in _HOST_FOLDERS and each.startswith("/"):
            yield Piece("", "container.host-files", False, "Gives a container the machine's files.")
        elif each.endswith(("docker.sock", "containerd.sock", "crio.sock", "podman.sock")):
            yield Piece("", "container.socket", False, "Gives a container the rights of the container engine.")


_HOST_FOLDERS = frozenset({"", "/etc", "/root", "/boot", "/dev", "/proc", "/sys", "/var/run", "/var/lib/docker", "/var/lib/kubelet", "/home"})

_LOCKS = frozenset({"pnpm-lock.yaml"})  # long, and of names and digests only

_NAMED: dict[str, Reader] = {
    "dockerfile": _docker,
    "containerfile": _docker,
    "makefile": _make,
    "gnumakefile": _make,
    "package.json": _json,
    "composer.json": _json,
    "tasks.json": _json,
    "launch.json": _json,
    "devcontainer.json": _json,
    "crontab": _crontab,
    "jenkinsfile": _jenkins,
}
_ENDINGS: dict[str, Reader] = {
    "dockerfile": _docker,
    "mk": _make,
    "service": _unit,
    "desktop": _unit,
    "cron": _crontab,
    "crontab": _crontab,
    "tf": _terraform,
    "ipynb": _notebook,
    "yml": _yaml,
    "yaml": _yaml,
}
