"""HTTP rules: what they bind, and what is refused before anything is served."""

from __future__ import annotations

from itertools import count

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from services.gateway.bindings import Binding, bindings_of
from services.gateway.contracts import generated_services, owner_of
from services.gateway.router import Router
from services.gateway.streams import resume_of
from services.runtime.errors import ConfigurationError
from tests.support.shelf import DESCRIPTOR, compile_proto

numbers = count()


def service(*methods: str) -> ServiceDescriptor:
    """A service whose methods are given as `Name: rule`, with one request and one response message."""
    number = next(numbers)
    text = (
        f'syntax = "proto3"; package harness.rules{number}.v1; import "google/api/annotations.proto";'
        "message Inner { string id = 1; } "
        "message In { string id = 1; Inner inner = 2; repeated Inner many = 3; map<string, string> labels = 4; } "
        "message Out { string id = 1; } service S {"
        + "".join(
            f"rpc M{index}({'stream ' if rule.startswith('stream ') else ''}In) returns (Out) "
            f"{{ option (google.api.http) = {{ {rule.removeprefix('stream ')} }}; }}"
            for index, rule in enumerate(methods)
        )
        + "}"
    )
    return compile_proto(text, f"rules{number}.proto").services_by_name["S"]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("get: 'v1'", "no leading slash"),
        ("get: '/v1/{nope}'", "has no field nope"),
        ("get: '/v1/{inner}'", "inner is a message"),
        ("get: '/v1/{inner.nope}'", "has no field inner.nope"),
        ("get: '/v1/{id.x}'", "leads through id"),
        ("get: '/v1/{many.id}'", "leads through many"),
        ("get: '/v1', body: '*'", "a GET has no body"),
        ("delete: '/v1', body: '*'", "a DELETE has no body"),
        ("post: '/v1', body: 'nope'", "has no field nope"),
        ("post: '/v1', response_body: 'nope'", "has no field nope"),
        ("body: '*'", "names no HTTP method"),
        ("get: '/v1' additional_bindings { get: '/v2' additional_bindings { get: '/v3' } }", "cannot have additional"),
        ("stream post: '/v1', body: '*'", "takes a stream"),
    ],
)
def test_wrong_rules_are_refused_by_name(rule: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"S\.M0 is wrong: .*{why}"):
        bindings_of([service(rule)])


def test_a_query_is_looked_at_only_if_something_is_left_for_it() -> None:
    rules = ("get: '/v1/{id}'", "post: '/v1/{id}/x', body: 'inner'", "post: '/v1/{id}', body: '*'")
    assert [binding.takes_query for binding in bindings_of([service(*rules)])] == [True, True, False]
    text = (
        'syntax = "proto3"; package harness.whole.v1; import "google/api/annotations.proto";'
        "message Inner { string id = 1; } message In { string id = 1; Inner inner = 2; } message Out {}"
        "service S { rpc A(In) returns (Out) { option (google.api.http) = { put: '/v1/{id}', body: 'inner' }; } "
        "rpc B(In) returns (Out) { option (google.api.http) = { put: '/v2/{inner.id}', body: 'inner' }; } }"
    )
    whole = compile_proto(text, "whole.proto").services_by_name["S"]
    assert [binding.takes_query for binding in bindings_of([whole])] == [False, True]


def test_two_that_bind_the_same_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"S/M1 and .*S/M0 both bind GET /v1/\*"):
        bindings_of([service("get: '/v1/{id}'", "get: '/v1/{inner.id}'")])
    assert len(bindings_of([service("get: '/v1/{id}'", "post: '/v1/{id}'", "get: '/v1/{id}:x'")])) == 3


def found(router: Router, method: str, path: str) -> str | None:
    match = router.find(method, path[1:].split("/"))
    return match.binding.method.name if match else None


def test_the_one_declared_last_wins() -> None:
    general_first = Router(bindings_of([service("get: '/v1/x/{id}'", "get: '/v1/x/fixed'", "get: '/v1/x/{id}:go'")]))
    assert found(general_first, "GET", "/v1/x/fixed") == "M1"
    assert found(general_first, "GET", "/v1/x/a:go") == "M2"
    general_last = Router(bindings_of([service("get: '/v1/x/fixed'", "get: '/v1/x/{id}'", "get: '/{id=**}'")]))
    assert found(general_last, "GET", "/v1/x/fixed") == "M2"
    assert found(general_last, "POST", "/v1/x/fixed") is None
    assert general_last.methods_of(["v1", "x", "fixed"]) == ["GET"]


def test_templates_with_wildcards_in_front_are_found() -> None:
    router = Router(bindings_of([service("get: '/{id}'", "get: '/{id}/x'", "get: '/a/{id=**}'", "get: '/a/b:go'")]))
    assert [found(router, "GET", path) for path in ("/a", "/q", "/q/x", "/a/b:go", "/a/b/c", "/")] == [
        "M2", "M0", "M1", "M3", "M2", "M0",
    ]  # fmt: skip


def every_binding() -> list[Binding]:
    return bindings_of(generated_services())


def test_the_contracts_bind_every_call_without_a_client_stream() -> None:
    bound = {binding.rpc for binding in every_binding()}
    all_calls = {
        f"{found.full_name}/{method.name}"
        for found in generated_services()
        for method in found.methods
        if not method.client_streaming
    }
    assert all_calls == bound
    assert {owner_of(found) for found in generated_services()} == {"orchestrator", "approval", "backup"}


def test_no_call_of_the_contracts_hides_another() -> None:
    router = Router(every_binding())
    for binding in every_binding():
        components = [segment.replace("*", "x") for segment in binding.template.segments]
        if binding.template.verb:
            components[-1] += f":{binding.template.verb}"
        match = router.find(binding.http_method, components)
        assert match is not None
        assert match.binding.rpc == binding.rpc


def test_a_stream_is_resumed_by_what_its_contract_counts() -> None:
    resumed = {
        binding.method.name: (resume.field.name, ".".join(resume.path))
        for binding in [*every_binding(), *bindings_of([DESCRIPTOR])]
        if binding.method.server_streaming and (resume := resume_of(binding.method)) is not None
    }
    assert resumed == {
        "WatchRun": ("after_sequence", "event.sequence"),
        "WatchDecisions": ("after_sequence", "sequence"),
        "WatchApprovals": ("after_sequence", "sequence"),
        "Watch": ("after_number", "event.number"),
    }
