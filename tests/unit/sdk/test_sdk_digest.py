"""The worker computes the digest by itself, and gets what the services get."""

from hypothesis import given
from hypothesis import strategies as st

from harness.common.v1.action_pb2 import (
    Action,
    ApiCallAction,
    CommandAction,
    FileDeleteAction,
    FileDigest,
    FileWriteAction,
    GitPushAction,
    StepStartAction,
)
from motherharness.digest import digest, intent
from services.runtime.digest import digest_of, intent_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)


def start(inputs: dict[str, object]) -> StepStartAction:
    """Return a step start with these inputs."""
    action = StepStartAction(step_id="a")
    action.inputs.update(inputs)  # type: ignore[arg-type]
    return action


actions = st.one_of(
    st.builds(CommandAction, script=texts, working_directory=texts, env=st.dictionaries(texts, texts, max_size=3)),
    st.builds(CommandAction, argv=st.lists(texts, max_size=4), timeout_seconds=st.integers(0, 86400)),
    st.builds(
        CommandAction, script=texts, operands=st.lists(st.builds(FileDigest, path=texts, sha256=texts), max_size=3)
    ),
    st.builds(FileDeleteAction, path=texts, recursive=st.booleans()),
    st.builds(GitPushAction, remote=texts, refspecs=st.lists(texts, max_size=3), force=st.booleans()),
    st.builds(FileWriteAction, path=texts, content=st.binary(max_size=40), mode=st.integers(0, 4095)),
    st.builds(ApiCallAction, method=texts, url=texts, headers=st.dictionaries(texts, texts), body=st.binary()),
    st.builds(start, st.dictionaries(texts, values, max_size=3)),
)
FIELD = {
    CommandAction: "command",
    FileDeleteAction: "file_delete",
    GitPushAction: "git_push",
    FileWriteAction: "file_write",
    ApiCallAction: "api_call",
    StepStartAction: "step_start",
}


def wrap(kind: object) -> Action:
    """Return the action of one kind."""
    return Action(**{FIELD[type(kind)]: kind})  # type: ignore[arg-type]


@given(st.lists(actions.map(wrap), min_size=1, max_size=4))
def test_equals_the_services_digest(proposed: list[Action]) -> None:
    assert digest(proposed) == digest_of(proposed)


@given(st.lists(actions.map(wrap), min_size=1, max_size=4))
def test_survives_the_wire(proposed: list[Action]) -> None:
    assert digest(Action.FromString(action.SerializeToString()) for action in proposed) == digest(proposed)


def test_known_value() -> None:
    action = Action(command=CommandAction(script="rm -rf build", env={"B": "2", "A": "ü"}))
    # printf '[{"command":{"env":{"A":"ü","B":"2"},"script":"rm -rf build"}}]' | sha256sum
    assert digest([action]) == "sha256:bd2e4a70895af2166eddd972ae12169d74999a0c26177cb5e8a8caab83b6590a"


def test_order_and_content_count() -> None:
    one, two = (Action(command=CommandAction(script=script)) for script in ("ls", "ls "))
    assert len({digest([one]), digest([two]), digest([one, two]), digest([two, one])}) == 4


def test_operands_are_part_of_the_digest_and_not_of_the_intent() -> None:
    bare = Action(command=CommandAction(script="bash x.sh"))
    bound = Action(command=CommandAction(script="bash x.sh", operands=[FileDigest(path="x.sh", sha256="0" * 64)]))
    other = Action(command=CommandAction(script="bash x.sh", operands=[FileDigest(path="x.sh", sha256="1" * 64)]))
    assert len({digest([bare]), digest([bound]), digest([other])}) == 3
    assert {intent([bare]), intent([bound]), intent([other])} == {digest([bare])}
    assert intent([Action(command=CommandAction(script="bash y.sh"))]) != intent([bound])
    for actions in ([bare], [bound], [bound, bare]):
        assert (digest(actions), intent(actions)) == (digest_of(actions), intent_of(actions))
    # What is asked is left as it was.
    assert bound.command.operands
