"""The requests: for every method with an HTTP rule its example, and many ways to say that differently or wrongly.

All of it follows from descriptors, rules and `protos/examples.yaml`, in an order that is always the same: a new method
is compared as soon as it is there.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.gateway.bindings import FIELD_MASK, Binding, bindings_of
from services.gateway.contracts import generated_services
from tests.compat.values import bad_json, bad_texts, good_json, good_texts
from tests.compat.world import examples, tomorrow
from tests.e2e.contracts import all_rpcs, breaking, keeping

ROLES = ("user", "approver", "admin", "agent", "service")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
JSON = ("content-type", "application/json")
NO_TYPE = ("content-type", ";;")
FORM = ("content-type", "application/x-www-form-urlencoded")
# Steps are not waited for: there are none to come.
_SHORT = {"wait": "0.01s"}
# A request id: of each world and each case its own.
REQUEST_ID = "req_01jq8zrequest"
# How many of the fields of a request are tried in each way.
_FIELDS = 3
_RULES = 2


@dataclass(frozen=True)
class Case:
    """A request to both gateways.

    Attributes:
        rpc: `Service_Method`.
        name: what is special about it.
        query: name and value pairs, written into the target; or the query itself, as bytes.
        token: the roles of the caller, "-" for no token, or a whole Authorization header.
        good: it is what a client would send, and changes things if the method does.
        lines: of a stream: how many are compared; 0 for all.
    """

    rpc: str
    name: str
    method: str
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    token: str = ""
    good: bool = False
    lines: int = 0

    @property
    def target(self) -> bytes:
        return self.path + (b"?" + self.query if self.query else b"")

    def __str__(self) -> str:
        return f"{self.rpc}: {self.name}"


@dataclass
class _Base:
    """The example of a method, taken apart by its binding."""

    binding: Binding
    rpc: str
    roles: frozenset[str]
    example: dict[str, Any]
    path: bytes = b""
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    lines: int = 0

    def case(self, name: str, **changes: Any) -> Case:
        """The example as a case, with changes; `json` is a body to be dumped, `pairs` a query to be encoded."""
        body = json.dumps(self.body).encode() if self.binding.body is not None else b""
        made = Case(
            self.rpc,
            name,
            self.binding.http_method,
            self.path,
            urlencode(self.query, doseq=True).encode(),
            (JSON,) if body else (),
            body,
            " ".join(sorted(self.roles)) or "user",
            lines=self.lines,
        )
        if "json" in changes:
            changes["body"] = json.dumps(changes.pop("json")).encode()
        if "pairs" in changes:
            more = urlencode(changes.pop("pairs")).encode()
            changes["query"] = b"&".join(part for part in (made.query, more) if part)
        if "more_headers" in changes:
            changes["headers"] = (*made.headers, *changes.pop("more_headers"))
        return replace(made, **changes)


def all_cases() -> list[Case]:
    """Every case of every binding."""
    roles = {rpc.path[1:]: rpc for rpc in all_rpcs()}
    found: list[Case] = []
    for number, binding in enumerate(bindings_of(generated_services())):
        rpc = roles[binding.rpc]
        base = _base(binding, frozenset(ROLES) if rpc.public else rpc.roles)
        parts = [_good(base), _callers(base, number), _paths(base, number), _headers(base, number), _queries(base)]
        parts += [_bodies(base, number), _fields_of_body(base), _rules(base, rpc.request)]
        found += [case for part in parts for case in part]
    return found


def _base(binding: Binding, roles: frozenset[str]) -> _Base:
    name = f"{binding.method.containing_service.name}_{binding.method.name}"
    shown = examples().get(name) or {
        "request": json_format.MessageToDict(keeping(GetMessageClass(binding.method.input_type)))
    }
    example = copy.deepcopy(shown["request"])
    for key, value in _SHORT.items():
        if key in example:
            example[key] = value
    if name == "BackupService_CreateBackup":
        example["wait"] = True
    # Each world has a policy of its own history, and what it was when it was read is not known beforehand.
    if name == "PolicyService_UpdatePolicy":
        example["policy"].pop("etag", None)
    for item in (example, *example.get("items", [])):
        if "requestId" in item:
            item["requestId"] = REQUEST_ID
    if "expireTime" in example:
        example["expireTime"] = tomorrow()
    message = json_format.ParseDict(example, GetMessageClass(binding.method.input_type)())
    rest = json_format.MessageToDict(message)
    path = _path_of(binding, message, rest)
    body = None
    if binding.body is not None:
        body = rest if not binding.body else rest.pop(binding.body[0].json_name, {})
    # It can be taken up in the middle, and goes on for as long as there is something to come.
    live = any(kind.name.startswith("after_") for kind in binding.method.input_type.fields)
    query = rest if binding.takes_query and not live else {}
    for kind in binding.method.input_type.fields:
        if kind.json_name in query and kind.message_type is not None and kind.message_type.full_name == FIELD_MASK:
            # A query names the fields of a mask as the contract does.
            query[kind.json_name] = ",".join(getattr(message, kind.name).paths)
    return _Base(binding, name, roles, example, path.encode(), body, query, lines=1 if live else 0)


def _path_of(binding: Binding, message: Any, rest: dict[str, Any]) -> str:
    """The path of a request; takes what is in it out of the rest."""
    segments = list(binding.template.segments)
    for variable in binding.template.variables:
        steps = binding.path_fields[variable.field_path]
        held, inside = message, rest
        for step in steps[:-1]:
            held, inside = getattr(held, step.name), inside.get(step.json_name, {})
        value = getattr(held, steps[-1].name)
        inside.pop(steps[-1].json_name, None)
        enum = steps[-1].enum_type
        segments[variable.start] = quote(str(value) if enum is None else enum.values_by_number[value].name)
    return "/" + "/".join(segments) + (f":{binding.template.verb}" if binding.template.verb else "")


def _good(base: _Base) -> Iterator[Case]:
    """What a client sends, in the ways there are to send it."""
    yield base.case("good", good=True)
    if base.binding.mask_field is not None:
        yield base.case("good, without a mask", query=b"", good=True)
    if base.binding.body is not None:
        body = json.dumps(base.body, indent=1).encode()
        typed = ("content-type", "application/json; charset=utf-8")
        yield base.case("good, indented and with a charset", body=b"\n" + body + b"\n ", headers=(typed,), good=True)
        message = GetMessageClass(base.binding.method.input_type)()
        json_format.ParseDict(base.example, message)
        names = json_format.MessageToDict(message, preserving_proto_field_name=True)
        kept = names if not base.binding.body else names.get(base.binding.body[0].name, {})
        yield base.case("good, with the contract's names", json=kept, good=True)
    else:
        yield base.case("good, and a body that nobody reads", body=b'{"x":', headers=(JSON,), good=True)


def _callers(base: _Base, number: int) -> Iterator[Case]:
    for role in ROLES:
        if role not in base.roles:
            yield base.case(f"as {role}, who may not", token=role)
    yield base.case("without a token", token="-")
    wrong = ("Bearer nonsense", "Basic YWxpY2U6eA==", "bearer", "Bearer a.b.c", "EXPIRED")
    for token in _some(wrong, number, 1):
        yield base.case(f"with {token}", token=token)


def _some(values: Any, number: int, count: int) -> list[Any]:
    """A few of many, each time others: over all methods all are used."""
    return [values[(number * count + index) % len(values)] for index in range(min(count, len(values)))]


def _paths(base: _Base, number: int) -> Iterator[Case]:
    path = base.path
    odd = {
        "a slash at its end": path + b"/",
        "two slashes": path.replace(b"/", b"//", 2),
        "a slash in the middle": path.replace(b"/v1/", b"/v1//"),
        "an upper-case letter": path.replace(b"/v1/", b"/V1/"),
        "an escaped letter": path.replace(b"/v1/", b"/%761/"),
        "an escaped slash": path + b"%2Fx",
        "an escaped slash in place of one": path.replace(b"/v1/", b"/v1%2F"),
        "a wrong escape": path + b"%zz",
        "half an escape": path + b"%4",
        "no UTF-8": path + b"%FF",
        "more behind it": path + b"/more/of/it",
        "an unknown verb": path + b":nothing",
        "an empty verb": path + b":",
        "dots": path + b"/../x",
        "a semicolon": path + b";x=1",
        "a NUL": path + b"%00",
    }
    for name in _some(list(odd), number, 4):
        yield base.case(f"path with {name}", path=odd[name])
    for variable in base.binding.template.variables[:1]:
        segments = path.split(b"/")
        at = variable.start + 1
        _, colon, verb = segments[at].partition(b":")
        values = (
            b"unknown",
            b"",
            b"..",
            b"%20",
            b"a%2Fb",
            b"%C3%A9",
            b"%FF",
            b"a+b",
            b"a:b",
            b"x" * 300,
            b"%00",
            b"%25",
        )
        for value in _some(values, number, 4):
            told = value[:8].decode() or "nothing"
            yield base.case(
                f"path of {told} for {variable.field_path}",
                path=b"/".join([*segments[:at], value + colon + verb, *segments[at + 1 :]]),
            )
    others = [method for method in METHODS if method != base.binding.http_method]
    for method in _some(others, number, 2):
        body = base.case("").body if method in ("POST", "PUT", "PATCH") else b""
        yield base.case(f"with {method}", method=method, body=body, headers=(JSON,) if body else ())
    for method in _some(("HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"), number, 1):
        yield base.case(f"with {method}", method=method, body=b"", headers=())


def _headers(base: _Base, number: int) -> Iterator[Case]:
    sets: dict[str, tuple[tuple[str, str], ...]] = {
        "Grpc-Timeout 20S": (("Grpc-Timeout", "20S"),),
        "Grpc-Timeout without a unit": (("Grpc-Timeout", "5"),),
        "Grpc-Timeout with a wrong unit": (("Grpc-Timeout", "5x"),),
        "Grpc-Timeout of zero": (("Grpc-Timeout", "0S"),),
        "negative Grpc-Timeout": (("Grpc-Timeout", "-1S"),),
        "Grpc-Metadata": (("Grpc-Metadata-Colour", "blue"), ("Grpc-Metadata-Colour", "red")),
        "Grpc-Metadata that is binary": (("Grpc-Metadata-Seal-Bin", "aGVsbG8="),),
        "Grpc-Metadata that is no base64": (("Grpc-Metadata-Seal-Bin", "%%%"),),
        "Grpc-Metadata not in ASCII": (("Grpc-Metadata-Colour", "bl\xfc"),),
        "TE: trailers": (("TE", "trailers"),),
        "Accept of a page": (("Accept", "text/html"),),
        "Accept of two": (("Accept", "application/xml, application/json;q=0.5"),),
        "If-Match": (("If-Match", '"1"'), ("User-Agent", "compared/1"), ("Cookie", "a=b")),
        "override without a form": (("X-HTTP-Method-Override", "GET"),),
        "X-Forwarded-For": (("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "example.com")),
        "Origin": (("Origin", "https://example.com"),),
    }
    for name in _some(list(sets), number, 3):
        yield base.case(f"with {name}", more_headers=sets[name])
    yield base.case("with a form as its body", body=b"a=1", headers=(FORM,))
    query = base.case("").query
    over = (FORM, ("X-HTTP-Method-Override", base.binding.http_method))
    yield base.case("as a POST of a form that stands for it", method="POST", query=b"", body=query, headers=over)


def _queries(base: _Base) -> Iterator[Case]:
    yield base.case("query with a name that is none", pairs=[("nothing", "1"), ("nor.this", "2")])
    yield base.case("query with a semicolon", query=b"a=1;b=2")
    yield base.case("query with a wrong escape", query=b"a=%zz")
    yield base.case("query of nothing but separators", query=b"&&=&")
    fields = [f for f in base.binding.method.input_type.fields if (f.name,) not in base.binding.taken]
    if base.lines:
        # Where it begins: other values than these would wait for what is to come.
        yield base.case("query of a place where it begins", pairs=[("afterSequence", "0")])
        for text in ("x", "1.0", "99999999999999999999"):
            yield base.case(f"query of {text}", pairs=[("after_sequence", text)])
        never = [("afterSequence", str(2**62))]
        yield base.case("until its time is up", pairs=never, headers=(("Grpc-Timeout", "1S"),))
        return
    for number, kind in enumerate(fields[:_FIELDS]):
        name = kind.json_name
        for text in _some(good_texts(kind), number, 2):
            yield base.case(f"query of {name}={text}", pairs=[(name, text)])
        for text in _some(bad_texts(kind), number, 2):
            yield base.case(f"query of {name}={text}", pairs=[(name, text)])
        text = good_texts(kind)[0] if good_texts(kind) else "x"
        yield base.case(f"query of {name} twice", pairs=[(name, text), (name, text)])
        if kind.name != name:
            yield base.case(f"query of {kind.name}", pairs=[(kind.name, text)])
        yield from (
            base.case(f"query of {what}", pairs=pairs)
            for what, pairs in _some(
                [
                    (f"{name.upper()}", [(name.upper(), text)]),
                    (f"{name}.inner", [(f"{name}.inner", text)]),
                    (f"{name}[key]", [(f"{name}[key]", text)]),
                    (f"{name}[]", [(f"{name}[]", text)]),
                    (f"nothing for {name}", [(name, "")]),
                ],
                number,
                2,
            )
        )
    yield from (
        base.case(f"query of {name} that the path has", pairs=[(name, "other")]) for name in base.binding.path_fields
    )


def _bodies(base: _Base, number: int) -> Iterator[Case]:
    """Bodies that are wrong as a whole."""
    if base.binding.body is None:
        return
    text = json.dumps(base.body).encode()
    joined = text[:-1] + (b"," if base.body else b"")
    odd: dict[str, bytes] = {
        "nothing": b"",
        "spaces": b" \n ",
        "an empty object": b"{}",
        "null": b"null",
        "a list": b"[]",
        "a text": b'"x"',
        "a number": b"12",
        "half of it": text[:-1],
        "no JSON": b"<xml/>",
        "more behind it": text + b" {}",
        "rubbish behind it": text + b" x",
        "a comma too much": joined + b'"x":1,}' if base.body else b"{,}",
        "single quotes": text.replace(b'"', b"'"),
        "a comment": b"/* x */" + text,
        "a mark before it": b"\xef\xbb\xbf" + text,
        "an unknown field": joined + b'"nothingKnown":1}',
        "no UTF-8": joined + b'"x":"\xff"}',
        "half a character": joined + b'"x":"\\ud800"}',
        "a NUL": joined + b'"x":"\x00"}',
        "NaN": joined + b'"x":NaN}',
        "deep nesting": joined + b'"x":' + b"[" * 300 + b"]" * 300 + b"}",
        "a field twice": joined + text[1:] if base.body else b'{"a":1,"a":1}',
    }
    picked = _some(list(odd), number, 6)
    if "an unknown field" not in picked:
        picked.append("an unknown field")
    for name in picked:
        yield base.case(f"body with {name}", body=odd[name])
    for name, value in _some(
        [
            ("text/plain", (("content-type", "text/plain"),)),
            ("no content type", ()),
            ("application/xml", (("content-type", "application/xml"),)),
            ("protobuf", (("content-type", "application/octet-stream"),)),
        ],
        number,
        2,
    ):
        yield base.case(f"body as {name}", headers=value)
    if base.binding.takes_query:
        yield base.case("body as nonsense", headers=(NO_TYPE,))
    if number % 4 == 0:
        packed = (JSON, ("content-encoding", "gzip"))
        yield base.case("body packed with gzip", body=gzip.compress(text, mtime=0), headers=packed)


def _fields_of_body(base: _Base) -> Iterator[Case]:
    """Each field of the body, up to two levels down, with values that fit and such that do not."""
    if base.binding.body is None:
        return
    kind = base.binding.body[0].message_type if base.binding.body else base.binding.method.input_type
    assert kind is not None
    for number, (path, found) in enumerate(islice(_walk(kind.fields, base.body, ()), _FIELDS), 1):
        where = ".".join(str(step) for step in path)
        # An id makes the second request a repeat of the first, whichever gateway it comes from.
        fitting = good_json(found) if found.name != "request_id" else []
        for value in _some(fitting, number, 1):
            yield base.case(f"{where} = {json.dumps(value)[:40]}", json=_with(base.body, path, value))
        for value in _some(bad_json(found), number, 2):
            yield base.case(f"{where} = {json.dumps(value)[:40]}", json=_with(base.body, path, value))
        yield base.case(f"{where} = null", json=_with(base.body, path, None))


def _walk(fields: Any, body: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], FieldDescriptor]]:
    for found in fields:
        here = (*path, found.json_name)
        yield here, found
        inside = body.get(found.json_name) if isinstance(body, dict) else None
        ours = found.message_type is not None and found.message_type.full_name.startswith("harness.")
        if ours and isinstance(inside, dict):
            yield from _walk(found.message_type.fields, inside, here)
        elif ours and isinstance(inside, list) and inside:
            yield from _walk(found.message_type.fields, inside[0], (*here, 0))


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = json.loads(json.dumps(body))
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return changed


def _rules(base: _Base, request: Any) -> Iterator[Case]:
    """Requests that break rules of fields, which the services refuse."""
    for where, message in list(breaking(request).items())[:_RULES]:
        value = json_format.MessageToDict(message)
        if base.binding.body == ():
            yield base.case(f"breaking a rule of {where}", json=value)
        elif base.binding.body:
            inner = value.get(base.binding.body[0].json_name, {})
            yield base.case(f"breaking a rule of {where}", json=inner)
        else:
            flat = {key: item for key, item in value.items() if not isinstance(item, dict)}
            yield base.case(f"breaking a rule of {where}", query=urlencode(flat, doseq=True).encode())
