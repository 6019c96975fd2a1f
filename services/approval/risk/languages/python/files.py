"""Files: what is read, written over, copied, renamed and removed, and how the paths were found."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.results import PATH, joined_path
from services.approval.risk.languages.python.values import NONE, NOTHING, Value, named, options, text_of
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, NOTE, SERIOUS

if TYPE_CHECKING:
    from services.approval.risk.languages.python.effects import Effects

LOCKED = (
    ".locked",
    ".lock3d",
    ".enc",
    ".encrypted",
    ".crypt",
    ".crypto",
    ".cry",
    ".ransom",
    ".pwned",
    ".wncry",
    ".aes",
    ".hacked",
    ".locky",
    ".crypted",
)
_CACHES = frozenset("__pycache__ .pytest_cache .mypy_cache .ruff_cache .ipynb_checkpoints .DS_Store .coverage Thumbs.db".split())
_READERS = frozenset("read_text read_bytes".split())
_WILDCARDS = patterns.compile(r"(?:\*|\?|\[[^\]/]{1,40}\])+")
_RECORDERS = ("/dev/input/", "/dev/uinput", "/dev/hidraw", "/dev/video", "/dev/snd/", "/dev/audio", "/dev/fb")
PROGRAM = "./program.py"  # what `__file__` stands for
_HUNTED = (
    "id_rsa",
    ".pem",
    ".key",
    ".env",
    ".kdbx",
    "wallet",
    ".ssh",
    "password",
    "credential",
    "secret",
    ".pfx",
    ".p12",
    "login data",
    ".aws",
    "cookies",
    ".ovpn",
    "history",
    ".keystore",
    "id_ed25519",
    "logins.json",
)


def found_in(effects: Effects, call: Call) -> Value:
    """Walks through folders: what it finds is known to be found, and where."""
    start = call.receiver if PATH in call.receiver.names else call.args[0] if call.args else Value((".",))
    name = call.name
    taints = start.taints - {"found", "variable", "looped"} | {"walked"}
    pattern = call.args[0].text() if PATH in call.receiver.names and call.args else ""
    for text in start.texts():
        base = _fixed(text) if name.startswith("glob.") else text
        if HIDDEN in text[:1]:
            continue
        effects.walked.add(paths.normalised(base))
        if (paths.outside(base, "") or paths.is_root(base)) and not paths.is_temporary(base):
            taints |= {"roams"}
    recursive = name in ("os.walk", "os.fwalk")
    if recursive:
        return Value(start.consts, True, ("os.walk()",), taints)
    if name == "os.listdir":
        effects.list_from(call)
        return Value(hidden=True, taints=taints, items=(Value(hidden=True, taints=taints),), size=2)
    taints |= {"found"}
    if name.startswith("glob."):
        matches = tuple(HIDDEN.join(_WILDCARDS.split(t)) for t in start.texts())
        return Value(hidden=True, taints=taints, items=(Value(matches, False, (), taints),), size=2)
    under = joined_path([Value(start.consts, start.hidden), Value((pattern.replace("**/", "").replace("*", HIDDEN) if pattern else HIDDEN,))])
    each = Value(under.consts, False, ("os.DirEntry()",) if name == "os.scandir" else (PATH,), taints)
    return Value(hidden=True, taints=taints, items=(each,), size=2)


def _fixed(text: str) -> str:
    """The part of a pattern before its first wildcard."""
    for index, part in enumerate(parts := text.split("/")):
        if "*" in part or "?" in part:
            return "/".join(parts[:index]) or ("/" if text.startswith("/") else ".")
    return posixpath.dirname(text) or "."


def opened(effects: Effects, call: Call) -> Value:
    """`open` and its relatives: reading or writing is decided by the mode."""
    path = call.receiver if PATH in call.receiver.names else call.argument(0, "file", "path", "filename", "name")
    mode = call.argument(0 if PATH in call.receiver.names else 1, "mode")
    texts = [t for t in mode.texts() if t != HIDDEN] if mode is not NOTHING else ["r"]
    if call.name == "os.open":
        flags = [c for c in mode.consts if isinstance(c, int)]
        texts = ["w" if any(f & 3 for f in flags) or not flags else "r"]
    write = any(set(t) & set("wax+") for t in texts)
    if write:
        effects.touch(path, call, write=True)
        if "packages" in path.taints:
            effects.flag("code.injection", HIGH, "Changes the code of installed packages.", call)
        if "roams" in path.taints and effects.finds(path):
            effects.flag("code.bulk-write", SERIOUS, "Changes files that it finds outside its own folder.", call)
        taints = path.taints - {"file", "fetched"} | {"for-writing"}
        if any(loop.endless for loop in call.loops) and not any(loop.waits for loop in call.loops) and any(HIDDEN in t for t in path.texts()):
            effects.flag("resource.disk", SERIOUS, "Makes files without end.", call)
    else:
        taints = read(effects, path, call)
    return Value(path.consts, True, ("open()",), taints)


def read(effects: Effects, path: Value, call: Call) -> frozenset[str]:
    """The taints of what is read from a path."""
    taints = {"file"} | (path.taints & {"roams", "temp", "looped", "walked", "found", "typed"})
    if effects.touch(path, call, write=False):
        taints.add("secret")
    for text in path.texts():
        taints |= effects.written_taints(text)
        if text.endswith(PROGRAM):
            taints.add("itself")
        if text.startswith(_RECORDERS):
            taints.add("recorded")
            effects.flag("code.input", HIGH, "Records a person's input, picture or voice.", call, text)
    if path.hidden or HIDDEN in path.text():
        effects.reads_unknown = True
    return frozenset(taints - {"temp"} if "roams" in taints else taints)


def read_method(effects: Effects, call: Call) -> Value:
    """`Path.read_text` and the like."""
    return Value(hidden=True, taints=read(effects, call.receiver, call))


def read_library(effects: Effects, call: Call) -> Value:
    """Readers of a library that take a path: only a telling path counts."""
    path = call.argument(0, "filepath_or_buffer", "path", "filename", "path_or_buf")
    secret = effects.touch(path, call, write=False)
    return Value(hidden=True, names=(f"{call.name}()",), taints=path.taints | ({"secret"} if secret else NONE))


def write_method(effects: Effects, call: Call) -> Value:
    """`Path.write_text` and the like, and `write` of an open file."""
    content = call.argument(0, "data", "text", "s")
    effects.touch(call.receiver, call, write=True)
    if "packages" in call.receiver.taints:
        effects.flag("code.injection", HIGH, "Changes the code of installed packages.", call)
    written(effects, call.receiver, content, call)
    return NOTHING


def write_open(effects: Effects, call: Call) -> Value | None:
    """`write` of an open file: what is written over what."""
    if "for-writing" in call.receiver.taints:
        written(effects, call.receiver, call.argument(0, "data", "s"), call)
    return NOTHING


def write_descriptor(effects: Effects, call: Call) -> Value | None:
    """`os.write` to an open file."""
    target = call.argument(0, "fd")
    if "for-writing" in target.taints:
        written(effects, target, call.argument(1, "str", "data"), call)
    return NOTHING


def dumped(effects: Effects, call: Call) -> Value | None:
    """`json.dump(data, file)` and the like."""
    target = call.argument(1, "fp", "file", "stream")
    if "open()" in target.names:
        written(effects, target, call.argument(0, "obj", "data"), call)
        for text in target.texts():
            effects.own_data.add(text)
    return NOTHING


def written(effects: Effects, path: Value, content: Value, call: Call) -> None:
    """Judges what is written by what was there before and where the content comes from."""
    for text in path.texts():
        effects.remember(text, content.taints)
    if "fetched" in content.taints:
        effects.fetched.update(t for t in path.texts() if t != HIDDEN)
    if content.taints & {"environ"}:
        effects.flag("code.environment", MEDIUM, "Writes down every variable of its environment, secrets included.", call)
    last = [posixpath.basename(t).lower() for t in path.texts()]
    if content.taints & {"encrypted"} and ((any(t.endswith(LOCKED) for t in last) and "walked" in path.taints) or "roams" in content.taints):
        effects.flag("destruction.encrypt", HIGH, "Encrypts files that it finds.", call)
    if content.known and len(content.consts) == 1:
        for text in path.texts():
            effects.remember_text(text, text_of(content.consts[0]))
    texts = [t for t in path.texts() if t != HIDDEN]
    if any(t.endswith((".pth", "customize.py")) for t in texts) and any("import" in t or HIDDEN in t for t in content.texts()):
        effects.flag("persistence.interpreter", HIGH, "Makes code run whenever Python starts.", call)
    if any(t.endswith((".py", ".pth")) for t in texts):
        effects.scripted(content, call)
    if "itself" in content.taints and path.texts() != ["./program.py"]:
        effects.flag("code.replicates", HIGH if "walked" in path.taints else MEDIUM, "Writes itself into other files.", call)
    if "walked" in path.taints and effects.finds(path):
        if content.taints & {"encrypted", "random"}:
            effects.flag("destruction.encrypt", HIGH, "Writes encrypted or random data over files that it finds.", call)
        elif "file" not in content.taints and (content.consts or content.taints & {"fetched"}):
            effects.flag("destruction.overwrite", SERIOUS, "Writes over files that it finds.", call)
        elif "roams" in path.taints:
            effects.flag("code.bulk-write", SERIOUS, "Changes files that it finds outside its own folder.", call)
    elif content.taints & {"random"} and "temp" not in path.taints and path.hidden:
        effects.flag("destruction.overwrite", SERIOUS, "Writes random data over a file.", call)


def removed(effects: Effects, call: Call) -> Value:
    """Files and folders that are removed; its own are its own."""
    method = call.receiver is not NOTHING and (PATH in call.receiver.names or call.name.startswith("?."))
    target = call.receiver if method else call.argument(0, "path", "file", "filename")
    recursive = "rmtree" in call.attr or call.attr == "removedirs"
    weight, message = (SERIOUS, "Deletes files.") if call.attr != "rmdir" else (MEDIUM, "Removes folders.")
    texts = target.texts()
    if "temp" in target.taints or "TemporaryDirectory" in call.plain or all(effects.owns(t) for t in texts):
        effects.flag("code.delete", NOTE, "Deletes its own files.", call)
        return NOTHING
    if all(posixpath.basename(t.rstrip("/")) in _CACHES or t.endswith(".pyc") for t in texts):
        effects.flag("code.delete", MINOR, "Deletes caches.", call)
        return NOTHING
    if all(paths.is_temporary(t) and not t.rstrip("/").endswith(("/tmp", HIDDEN)) for t in texts):
        effects.flag("code.delete", MINOR, "Deletes temporary files.", call)
        return NOTHING
    if recursive and any(t != HIDDEN and paths.is_root(t) for t in texts):
        weight, message = CRITICAL, "Removes the system or a person's files."
    elif "roams" in target.taints:
        weight, message = HIGH, "Deletes files that it finds outside its own folder."
    effects.flag("code.delete", weight, message, call)
    effects.touch(target, call, write=True)
    return NOTHING


def emptied(effects: Effects, call: Call) -> Value:
    """`truncate`."""
    target = call.receiver if call.receiver is not NOTHING and not call.name.startswith("os.") else call.argument(0)
    if "temp" not in target.taints and ("walked" in target.taints or call.name == "os.truncate"):
        effects.flag("destruction.overwrite", SERIOUS, "Empties files.", call)
        effects.touch(target, call, write=True)
    return NOTHING


def copied(effects: Effects, call: Call) -> Value:
    """Copies, moves and renames: the source is read (or goes), the target is written."""
    method = PATH in call.receiver.names
    source = call.receiver if method else call.argument(0, "src", "source")
    target = call.argument(0 if method else 1, "dst", "target", "dest", "destination")
    moves = call.attr in ("rename", "replace", "renames", "move")
    secret = effects.touch(source, call, write=False) if not moves else False
    if moves:
        effects.touch(source, call, write=True)
        if source.taints & {"roams"}:
            effects.flag("code.move", SERIOUS, "Moves files that it finds outside its own folder.", call)
    else:
        effects.copies_unknown = effects.copies_unknown or source.hidden
    effects.touch(target, call, write=True)
    taints = read(effects, source, call) | ({"secret"} if secret else NONE)
    for text in target.texts():
        effects.remember(text, taints)
        if any(text.lower().endswith(suffix) for suffix in LOCKED) and (source.taints & {"walked", "found"}):
            effects.flag("destruction.encrypt", HIGH, "Renames the files that it finds as one does that holds them for ransom.", call)
    if call.attr in ("symlink", "link", "symlink_to", "hardlink_to"):
        pointed = call.argument(0, "target", "src")
        link = call.receiver if method else target
        effects.touch(pointed, call, write=False)
        if any(paths.is_root(text) for text in pointed.texts() if text != HIDDEN):
            effects.flag("code.link", MEDIUM, "Makes the system or a person's files reachable under another name.", call)
        effects.touch(link, call, write=True)
    if moves and any(t in ("/dev/null",) for t in target.texts()):
        effects.flag("destruction.overwrite", SERIOUS, "Moves files to nowhere.", call)
    if any(t.endswith(PROGRAM) for t in source.texts()):
        effects.flag("code.replicates", HIGH if target.taints & {"walked", "looped"} else MEDIUM, "Copies itself.", call)
    return target if target is not NOTHING else named(PATH, NONE, ())


def archived(effects: Effects, call: Call) -> Value | None:
    """Archives that are made of folders; what goes in is in what comes out."""
    base, root = call.argument(0, "base_name"), call.argument(2, "root_dir", "base_dir")
    source = root if root is not NOTHING else call.argument(-1, "base_dir")
    taints = {"file"} | source.taints
    for text in source.texts():
        if text != HIDDEN and paths.outside(text, "") and not paths.is_temporary(text):
            taints |= {"roams"}
    if effects.touch(source, call, write=False):
        taints |= {"secret"}
    made = frozenset(taints)
    for text in base.texts():
        for suffix in call.argument(1, "format").texts():
            effects.remember(f"{text}.{'tar.gz' if suffix == 'gztar' else suffix}", made)
    return options((f"{text_of(c)}.zip" for c in base.consts), made, hidden=base.hidden) if base.consts else Value(hidden=True, taints=made)


def packed(effects: Effects, call: Call) -> Value | None:
    """Files that are put into an archive."""
    source = call.argument(0, "filename", "name")
    taints = read(effects, source, call)
    for name in call.receiver.texts():
        effects.remember(name, taints)
    return NOTHING


def archive_opened(effects: Effects, call: Call) -> Value:
    """An archive: its path stays known, as what is put in must be."""
    path = call.argument(0, "file", "name")
    mode = call.argument(1, "mode")
    writes = any(set(t) & set("wax") for t in mode.texts()) and mode is not NOTHING
    effects.touch(path, call, write=writes)
    return Value(path.consts, True, (f"{call.name}()",), path.taints | ({"for-writing"} if writes else {"file"}))


def member(effects: Effects, call: Call) -> Value | None:
    """A name inside an archive that leads out of the folder it is unpacked to."""
    for text in call.argument(0, "name", "zinfo_or_arcname", "filename").texts():
        if "../" in text or text.startswith("/"):
            effects.flag("deception.archive", SERIOUS, "Makes an archive that unpacks to places outside its folder.", call, text)
    return None


def unpacked(effects: Effects, call: Call) -> Value | None:
    """Archives that are taken apart; a password that is tried is another matter."""
    password = call.argument(2, "pwd")
    if "looped" in password.taints:
        effects.flag("network.brute-force", HIGH, "Tries one password after another.", call)
    fetched = call.receiver.taints & {"fetched"} or any(t in effects.fetched for t in call.receiver.texts())
    effects.flag("code.extract", MINOR if fetched else NOTE, "Unpacks an archive, to wherever it says.", call)
    target = call.argument(1 if call.name == "shutil.unpack_archive" else 0, "path", "extract_dir")
    effects.touch(target, call, write=True)
    if any(paths.is_root(text) for text in target.texts() if text != HIDDEN):
        effects.flag("code.extract", SERIOUS, "Unpacks an archive over the system or a person's files.", call)
    if fetched:
        effects.fetched.update(t for t in target.texts() if t != HIDDEN and target is not NOTHING)
    return NOTHING


def permitted(effects: Effects, call: Call) -> Value:
    """`chmod` and `chown`."""
    method = PATH in call.receiver.names or call.name.startswith("?.")
    path = call.receiver if method else call.argument(0, "path")
    if "chown" in call.attr:
        effects.flag("code.permissions", MEDIUM, "Changes who owns files.", call)
    else:
        mode = call.argument(0 if method else 1, "mode")
        modes = [c for c in mode.consts if isinstance(c, int)]
        wide = any(m & 0o002 for m in modes)
        setuid = any(m & 0o6000 for m in modes)
        effects.flag("code.permissions", HIGH if setuid else MEDIUM if wide else NOTE, "Changes the rights of files.", call)
        if any(m & 0o111 for m in modes) or mode.hidden:
            effects.made_runnable(path, call)
        if path.taints & {"roams"} and any(m & 0o7777 == 0 for m in modes):
            effects.flag("code.permissions", HIGH, "Takes away the rights to files that it finds.", call)
    effects.touch(path, call, write=True)
    return NOTHING


def closed(effects: Effects, call: Call) -> Value | None:
    """A file that is opened for writing and closed at once is empty."""
    direct = isinstance(call.node, ast.Call) and isinstance(call.node.func, ast.Attribute) and isinstance(call.node.func.value, ast.Call)
    if direct and "for-writing" in call.receiver.taints and "walked" in call.receiver.taints:
        effects.flag("destruction.overwrite", SERIOUS, "Empties files that it finds.", call)
    return NOTHING


def made(effects: Effects, call: Call) -> Value:
    """Folders and files that the program makes for itself."""
    path = call.receiver if PATH in call.receiver.names else call.argument(0, "name", "path")
    if (any(c is not False for c in call.argument(1, "exist_ok").consts) and call.attr in ("makedirs", "mkdir")) or call.attr == "touch":
        return NOTHING  # it may have been there before
    for text in path.texts():
        effects.own(text)
    return NOTHING


def hunted(text: str) -> bool:
    """Whether a text names what is looked for by those who look for secrets."""
    lowered = text.lower()
    return len(text) < 200 and any(word in lowered for word in _HUNTED)


HANDLERS: dict[str, Callable[[Effects, Call], Value | None]] = {
    **dict.fromkeys(("os.walk", "os.fwalk", "glob.glob", "glob.iglob", "os.scandir", "os.listdir", "pathlib.Path.rglob", "pathlib.Path.glob", "pathlib.Path.iterdir", "pathlib.Path.walk"), found_in),
    **dict.fromkeys(("open", "os.open", "pathlib.Path.open", "io.open_code"), opened),
    **dict.fromkeys((f"pathlib.Path.{m}" for m in _READERS), read_method),
    **dict.fromkeys(("pandas.read_csv", "pandas.read_json", "numpy.loadtxt", "dotenv.dotenv_values", "linecache.getlines", "linecache.getline", "fileinput.input", "sqlite3.connect", "configparser.ConfigParser.read", "Image.open", "PIL.Image.open"), read_library),
    **dict.fromkeys(("pathlib.Path.write_text", "pathlib.Path.write_bytes"), write_method),
    "os.write": write_descriptor,
    **dict.fromkeys(("open.write", "open.writelines"), write_open),
    **dict.fromkeys(("json.dump", "pickle.dump", "yaml.dump", "yaml.safe_dump", "joblib.dump", "marshal.dump"), dumped),
    **dict.fromkeys(("os.remove", "os.rmdir", "os.removedirs", "shutil.rmtree", "pathlib.Path.unlink", "pathlib.Path.rmdir", "send2trash.send2trash", "?.unlink", "?.rmtree", "?.rmdir", "pathlib.Path.rmtree", "distutils.dir_util.remove_tree"), removed),
    **dict.fromkeys(("os.truncate", "os.ftruncate"), emptied),
    **dict.fromkeys(("shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.copytree", "os.rename", "os.renames", "os.replace", "shutil.move", "os.symlink", "os.link", "pathlib.Path.rename", "pathlib.Path.replace", "pathlib.Path.symlink_to", "pathlib.Path.hardlink_to", "os.sendfile"), copied),
    "open.close": closed,
    **dict.fromkeys(("tarfile.TarInfo", "zipfile.ZipInfo", "zipfile.ZipFile.writestr"), member),
    "shutil.make_archive": archived,
    **dict.fromkeys(("zipfile.ZipFile.write", "tarfile.open.add", "tarfile.TarFile.add"), packed),
    **dict.fromkeys(("zipfile.ZipFile", "tarfile.open", "tarfile.TarFile"), archive_opened),
    **dict.fromkeys(("zipfile.ZipFile.extractall", "tarfile.open.extractall", "shutil.unpack_archive", "zipfile.ZipFile.extract", "?.extractall", "tarfile.TarFile.extractall", "zipfile.ZipFile.setpassword", "pyzipper.AESZipFile.extractall", "rarfile.RarFile.extractall"), unpacked),
    **dict.fromkeys(("os.chmod", "os.chown", "os.lchown", "os.fchmod", "os.fchown", "os.lchmod", "shutil.chown", "pathlib.Path.chmod", "?.chmod"), permitted),
    **dict.fromkeys(("os.makedirs", "os.mkdir", "pathlib.Path.mkdir", "pathlib.Path.touch"), made),
}  # fmt: skip
