"""What differs from grpc-gateway on purpose; docs/http.md explains each under the same title."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.compat.cases import NO_TYPE
from tests.compat.compare import Pair

ALL = frozenset({"status", "content-type", "grpc-metadata", "www-authenticate", "trailers", "body"})
_OURS = "harness.dev"


@dataclass(frozen=True)
class Difference:
    """A difference that is meant.

    Attributes:
        title: in docs/http.md.
        explains: the facets of a pair that it explains; none where it does not apply.
    """

    title: str
    explains: Callable[[Pair], frozenset[str]]

    def explains_some_of(self, pair: Pair) -> bool:
        """Whether the answers of the pair differ in something that this explains."""
        return bool(self.explains(pair) & pair.differs)


def _reason(body: Any) -> str:
    """The reason of an error that is ours, unary or of a stream."""
    if isinstance(body, dict):
        status = body.get("error", body)
        for detail in status.get("details", []) if isinstance(status, dict) else []:
            if detail.get("domain") == _OURS:
                return str(detail.get("reason"))
    return ""


def _code(body: Any) -> int:
    if isinstance(body, dict):
        status = body.get("error", body)
        if isinstance(status, dict) and "message" in status and isinstance(status.get("code"), int):
            return int(status["code"])
    return 0


def _plain(body: Any) -> bool:
    """An error that says nothing but its code and a message: grpc-gateway's own."""
    return _code(body) > 0 and not body.get("error", body).get("details")


def _words(pair: Pair) -> frozenset[str]:
    same = _code(pair.ours.body) == _code(pair.theirs.body) and _reason(pair.ours.body) != ""
    return frozenset({"body"}) if same and _plain(pair.theirs.body) else frozenset()


def _of_grpc(pair: Pair) -> frozenset[str]:
    kept = [
        (key, value)
        for key, value in pair.theirs.metadata
        if not key.startswith(("grpc-metadata-content-type", "grpc-metadata-grpc-", "grpc-metadata-x-request-id"))
    ]
    return frozenset({"grpc-metadata"}) if kept == list(pair.ours.metadata) else frozenset()


def _trailers(pair: Pair) -> frozenset[str]:
    theirs = [value.lower() for key, value in pair.theirs.trailers if key == "trailer"]
    own = ("grpc-trailer-grpc-", "grpc-trailer-content-type", "grpc-trailer-x-request-id")
    all_own = all(name.startswith(own) for name in theirs)
    return frozenset({"trailers"}) if all_own and not pair.ours.trailers else frozenset()


def _says(pair: Pair, reason: str, *words: str) -> bool:
    """Whether ours refuses with 400, for this reason, and theirs does something else than that."""
    if pair.ours.status != 400 or _reason(pair.ours.body) != reason:
        return False
    message = pair.ours.body.get("error", pair.ours.body)["message"]
    return not words or any(word in message for word in words)


def _strict(pair: Pair) -> frozenset[str]:
    strict = _says(pair, "BODY_INVALID", "no such field", "this key twice", " is not a ", "nests deeper")
    return ALL if strict and not _plain(pair.theirs.body) else frozenset()


def _trailing_data(pair: Pair) -> frozenset[str]:
    behind = _says(pair, "BODY_INVALID", "Extra data")
    return ALL if behind and not _plain(pair.theirs.body) else frozenset()


def _escapes(pair: Pair) -> frozenset[str]:
    wrong = _says(pair, "PATH_INVALID", "percent sign") and pair.theirs.status == 400
    return frozenset({"content-type", "body"}) if wrong else frozenset()


def _not_utf8(pair: Pair) -> frozenset[str]:
    wrong = _says(pair, "PATH_INVALID", "not UTF-8") and pair.theirs.status in (404, 500, 501)
    return ALL if wrong else frozenset()


def _lower_case(pair: Pair) -> frozenset[str]:
    lower = pair.case.method.islower() and pair.theirs.status in (404, 501)
    return ALL if lower and _reason(pair.ours.body) == "HTTP_INVALID" else frozenset()


def _challenge(pair: Pair) -> frozenset[str]:
    of_stream = pair.ours.status == pair.theirs.status == 401 and "error" in pair.theirs.body
    return frozenset({"www-authenticate"}) if of_stream and not pair.theirs.www_authenticate else frozenset()


def _packed(pair: Pair) -> frozenset[str]:
    packed = ("content-encoding", "gzip") in pair.case.headers
    return ALL if packed and pair.theirs.status == 400 and _plain(pair.theirs.body) else frozenset()


def _no_type(pair: Pair) -> frozenset[str]:
    none = NO_TYPE in pair.case.headers and pair.theirs.status == 400 and _plain(pair.theirs.body)
    return ALL if none and pair.theirs.body["message"].startswith("mime: ") else frozenset()


DIFFERENCES = (
    Difference("The gateway's own errors say more", _words),
    Difference("Headers of gRPC itself are left out", _of_grpc),
    Difference("Trailers of gRPC itself are left out", _trailers),
    Difference("Bodies are read strictly", _strict),
    Difference("Nothing may follow the JSON of a body", _trailing_data),
    Difference("A body may be packed with gzip", _packed),
    Difference("The type of a body is looked at for forms only", _no_type),
    Difference("Wrong escapes in a path are answered with JSON", _escapes),
    Difference("A path that is not UTF-8 is a bad request", _not_utf8),
    Difference("Methods are spelled in upper case", _lower_case),
    Difference("A stream that needs a token says so in a header", _challenge),
)


def explained(pair: Pair) -> frozenset[str]:
    """The facets of a pair that any of the differences explains."""
    return frozenset().union(*(difference.explains(pair) for difference in DIFFERENCES))
