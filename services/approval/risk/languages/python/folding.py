"""Computes what pure functions and operators of constants give, within bounds: how programs hide names and commands."""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import codecs
import html
import lzma
import zlib
from collections.abc import Callable, Sequence
from itertools import product
from urllib.parse import unquote

from services.approval.risk import patterns
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python.values import MAX_OPTIONS, MAX_TEXT, NONE, Const, Value, options, text_of

MAX_BITS = 2048  # of an integer
DECODERS = frozenset(
    "base64.b64decode base64.b32decode base64.b16decode base64.b85decode base64.a85decode base64.urlsafe_b64decode base64.standard_b64decode base64.decodebytes binascii.unhexlify "
    "binascii.a2b_hex binascii.a2b_base64 bytes.fromhex bytearray.fromhex codecs.decode zlib.decompress gzip.decompress bz2.decompress lzma.decompress".split()
)
_PERCENT = patterns.compile(r"^(?:\((\w{1,60})\))?[-+ #0]{0,4}\d{0,3}(?:\.\d{1,3})?([sdrxXciufgeo])")
_METHODS = frozenset(
    "lower upper strip lstrip rstrip title capitalize swapcase removeprefix removesuffix encode decode replace hex casefold startswith endswith isdigit find index count".split()
)


def _inflate(data: bytes, bits: int) -> bytes:
    return zlib.decompressobj(bits).decompress(data, MAX_TEXT)


def _as_bytes(value: Const) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value) if isinstance(value, bytes) else b""


def _codec(value: Const, name: Const = "utf-8", *_: Const) -> Const:
    if not isinstance(name, str):
        raise ValueError
    how = name.lower().replace("-", "_")
    if how in ("rot13", "rot_13"):
        return codecs.decode(text_of(value), "rot13")
    if how in ("hex", "hex_codec"):
        return binascii.unhexlify(_as_bytes(value))
    if how in ("base64", "base_64", "base64_codec"):
        return base64.b64decode(_as_bytes(value))
    if how in ("zlib", "zip"):
        return _inflate(_as_bytes(value), 15)
    if how in ("unicode_escape", "utf_8", "utf8", "ascii", "latin_1", "latin1", "utf_16", "utf_16le", "utf_16_le"):
        return _as_bytes(value).decode(how)
    raise ValueError


def _integer(value: Const, base: Const = 10) -> Const:
    if isinstance(value, str | bytes) and len(value) < 200 and isinstance(base, int):
        return int(value, base)
    return int(value) if isinstance(value, int | float) else 0


_FUNCTIONS: dict[str, Callable[..., Const]] = {
    "chr": lambda n: chr(n),
    "ord": lambda c: ord(c),
    "str": lambda v="", *_: text_of(v),
    "repr": lambda v: repr(v)[:MAX_TEXT],
    "int": _integer,
    "hex": lambda n: hex(n),
    "len": lambda v: len(v),
    "bytes": lambda v=b"", *_: _as_bytes(v),
    "bytearray": lambda v=b"", *_: _as_bytes(v),
    "bytes.fromhex": lambda t: bytes.fromhex(t),
    "bytearray.fromhex": lambda t: bytes.fromhex(t),
    "base64.b64decode": lambda d, *_: base64.b64decode(d),
    "base64.standard_b64decode": lambda d: base64.b64decode(d),
    "base64.urlsafe_b64decode": lambda d: base64.urlsafe_b64decode(d),
    "base64.decodebytes": lambda d: base64.b64decode(d),
    "base64.b32decode": lambda d, *_: base64.b32decode(d),
    "base64.b16decode": lambda d, *_: base64.b16decode(d),
    "base64.b85decode": lambda d: base64.b85decode(d),
    "base64.a85decode": lambda d: base64.a85decode(d),
    "binascii.unhexlify": lambda d: binascii.unhexlify(d),
    "binascii.a2b_hex": lambda d: binascii.unhexlify(d),
    "binascii.a2b_base64": lambda d: binascii.a2b_base64(d),
    "codecs.decode": _codec,
    "zlib.decompress": lambda d, bits=15, *_: _inflate(d, bits),
    "gzip.decompress": lambda d: _inflate(d, 31),
    "bz2.decompress": lambda d: bz2.BZ2Decompressor().decompress(d, MAX_TEXT),
    "lzma.decompress": lambda d: lzma.LZMADecompressor().decompress(d, MAX_TEXT),
    "urllib.parse.unquote": lambda t: unquote(t),
    "urllib.parse.quote": lambda t, *_: text_of(t),
    "html.unescape": lambda t: html.unescape(t),
    "shlex.quote": lambda t: text_of(t),
    "os.fsencode": lambda t: _as_bytes(t),
    "os.fsdecode": lambda t: text_of(t),
    "os.fspath": lambda t: text_of(t),
}  # fmt: skip


def function(name: str, args: Sequence[Value]) -> Value | None:
    """What a pure function gives for constants; None when it is not known."""
    call = _FUNCTIONS.get(name)
    if call is None or not args:
        return None
    taints = NONE.union(*(a.taints for a in args)) | ({"decoded"} if name in DECODERS else NONE)
    return _each(call, args, taints)


def method(receiver: Value, attr: str, args: Sequence[Value]) -> Value | None:
    """What a method of texts, bytes or lists of them gives for constants; None when it is not known."""
    taints = receiver.taints.union(*(a.taints for a in args)) if args else receiver.taints
    if attr == "join" and args and args[0].items is not None:
        return _joined(receiver, args[0], taints)
    if attr == "format" and receiver.consts:
        return options((_formatted(text_of(c), args, {}) for c in receiver.consts), taints, hidden=receiver.hidden)
    if attr in _METHODS and receiver.consts:
        if attr in ("encode", "decode") and args and args[0].consts and isinstance(args[0].consts[0], str) and "utf" not in args[0].consts[0].lower():
            return _each(_codec, [receiver, args[0]], taints | {"decoded"})
        if attr == "replace" and args and any(len(text_of(c)) > 1000 for a in args for c in a.consts):
            return None
        return _each(lambda text, *rest: getattr(text, attr)(*rest), [receiver, *args], taints)
    return None


def split(receiver: Value, args: Sequence[Value]) -> list[list[str]] | None:
    """The lists that `split` makes of each text."""
    separator = args[0].consts[0] if args and args[0].known else None
    if not receiver.known or not (separator is None or (isinstance(separator, str) and separator)):
        return None
    return [text_of(c).split(separator)[:256] for c in receiver.consts]


def formatted(text: Value, args: Sequence[Value], named: dict[str, Value]) -> Value:
    """What `str.format` gives."""
    taints = text.taints.union(*(a.taints for a in args), *(v.taints for v in named.values()))
    return options((_formatted(text_of(c), args, named) for c in text.consts), taints, hidden=text.hidden)


def _formatted(text: str, args: Sequence[Value], named: dict[str, Value]) -> str:
    parts: list[str] = []
    position = index = 0
    while (at := text.find("{", position)) >= 0:
        parts.append(text[position:at])
        end = text.find("}", at)
        if text.startswith("{{", at) or end < 0:
            parts.append("{")
            position = at + (2 if text.startswith("{{", at) else 1)
            continue
        field = text[at + 1 : end].partition("!")[0].partition(":")[0].partition(".")[0].partition("[")[0]
        if not field:
            value = args[index] if index < len(args) else None
            index += 1
        elif field.isdecimal():
            value = args[int(field)] if len(field) < 4 and int(field) < len(args) else None
        else:
            value = named.get(field)
        parts.append(value.text()[:4096] if value is not None else HIDDEN)
        position = end + 1
    parts.append(text[position:])
    return "".join(parts).replace("}}", "}")


def percent(left: Value, right: Value) -> Value:
    """What `text % values` gives."""
    values = list(right.items) if right.items is not None else [right]
    entries = {text_of(k): v for k, v in right.entries or ()}

    def one(text: str) -> str:
        rest = iter(values)
        parts: list[str] = []
        pieces = text.split("%")
        parts.append(pieces[0])
        skip = False
        for piece in pieces[1:]:
            if skip:
                parts.append(piece)
                skip = False
                continue
            if not piece:  # "%%"
                parts.append("%")
                skip = True
                continue
            match = _PERCENT.match(piece)
            if match is None:
                parts.append(f"%{piece}")
                continue
            value = entries.get(match.group(1)) if match.group(1) else next(rest, None)
            known = value.consts[0] if value is not None and len(value.consts) == 1 and value.known else None
            if value is None:
                parts.append(HIDDEN)
            elif match.group(2) == "c" and isinstance(known, int) and 0 <= known < 0x110000:
                parts.append(chr(known))
            else:
                parts.append(value.text()[:4096])
            parts.append(piece[match.end() :])
        return "".join(parts)

    return options((one(text_of(c)) for c in left.consts), left.taints | right.taints, hidden=left.hidden)


def _joined(receiver: Value, parts: Value, taints: frozenset[str]) -> Value:
    glue = receiver.consts[0] if len(receiver.consts) == 1 else ""
    texts = [each.text() for each in parts.items or ()]
    whole = text_of(glue).join(texts) if sum(map(len, texts)) + len(texts) * len(text_of(glue)) <= MAX_TEXT else HIDDEN
    if parts.hidden:
        whole += HIDDEN
    if isinstance(glue, bytes) and HIDDEN not in whole and all(isinstance(c, bytes) for p in parts.items or () for c in p.consts):
        return options([glue.join(c for p in parts.items or () for c in p.consts if isinstance(c, bytes))], taints)
    return options([whole], taints)


def _each(call: Callable[..., Const], args: Sequence[Value], taints: frozenset[str]) -> Value | None:
    if not all(a.consts for a in args):
        return None
    if any(len(a.consts) > 1 for a in args) and sum(a.length for a in args) > MAX_TEXT:
        return Value(hidden=True, taints=taints)  # texts that grow each time they are made: making them all again would take seconds
    results: list[Const] = []
    hidden = any(a.hidden for a in args)
    for index, chosen in enumerate(product(*(a.consts for a in args))):
        if index >= MAX_OPTIONS:
            hidden = True
            break
        if any(isinstance(c, str) and HIDDEN in c for c in chosen) and not any(isinstance(c, bytes) for c in chosen):
            try:  # a text with a hole keeps what is around it
                results.append(call(*chosen))
            except Exception:
                hidden = True
            continue
        try:
            results.append(call(*chosen))
        except Exception:  # not what the function takes: nothing is known of what it gives
            hidden = True
    return options(results, taints, hidden=hidden)


def binary(operator: ast.operator, left: Value, right: Value) -> Value | None:
    """What an operator of constants gives, holes kept; None when nothing is known."""
    taints = left.taints | right.taints
    if isinstance(operator, ast.Add) and (_textual(left) or _textual(right)):
        first = list(left.consts) + ([HIDDEN] if left.hidden or not left.consts else [])
        second = list(right.consts) + ([HIDDEN] if right.hidden or not right.consts else [])
        texts: list[Const] = []
        for a, b in list(product(first, second))[: MAX_OPTIONS + 1]:
            if isinstance(a, bytes) and isinstance(b, bytes):
                texts.append(a + b)
            elif isinstance(a, str | bytes) and isinstance(b, str | bytes):
                texts.append(text_of(a) + text_of(b))
        return options(texts, taints)
    if isinstance(operator, ast.Mod) and any(isinstance(c, str | bytes) for c in left.consts):
        return percent(left, right)
    if not left.consts or not right.consts:
        return None
    return _each(lambda a, b: _arithmetic(operator, a, b), [left, right], taints)


def _textual(value: Value) -> bool:
    return any(isinstance(c, str | bytes) for c in value.consts)


def _arithmetic(operator: ast.operator, a: Const, b: Const) -> Const:
    if isinstance(operator, ast.Mult) and isinstance(a, str | bytes) and isinstance(b, int):
        if len(a) * b > MAX_TEXT:
            raise ValueError
        return a * b
    if not isinstance(a, int | float) or not isinstance(b, int | float) or max(abs(a), abs(b)) > 1 << 512:
        raise ValueError
    if isinstance(operator, ast.Add):
        return a + b
    if isinstance(operator, ast.Sub):
        return a - b
    if isinstance(operator, ast.Mult):
        return a * b
    if isinstance(operator, ast.FloorDiv):
        return a // b
    if isinstance(operator, ast.Div):
        return a / b
    if isinstance(operator, ast.Mod):
        return a % b
    if not isinstance(a, int) or not isinstance(b, int):
        raise ValueError
    if isinstance(operator, ast.Pow | ast.LShift) and (abs(b) > 512 or a.bit_length() * abs(b) > MAX_BITS):
        raise ValueError
    if isinstance(operator, ast.Pow):
        return int(a**b) if b >= 0 else float(a) ** b
    if isinstance(operator, ast.LShift):
        return a << b
    if isinstance(operator, ast.RShift):
        return a >> min(b, MAX_BITS)
    if isinstance(operator, ast.BitXor):
        return a ^ b
    if isinstance(operator, ast.BitOr):
        return a | b
    if isinstance(operator, ast.BitAnd):
        return a & b
    raise ValueError
