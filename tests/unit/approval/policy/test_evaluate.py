"""Rules and freezes together: the strictest wins, more rules are never laxer, and what has no answer fails closed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.lifecycle import Outcome
from services.approval.policy import ALL_TYPES, DEFAULTS, Freeze, Policy, Question, Rule, Verdict, evaluate
from services.approval.policy.cel import compile, unusable
from services.approval.policy.context import Views, host_of
from services.approval.policy.evaluate import matched, strictest_quorum
from services.approval.policy.shorthand import rules_of
from services.approval.policy.windows import Window
from services.approval.quorum import Seat
from services.approval.risk import (
    Action,
    ApiCall,
    Command,
    Context,
    Factor,
    FileDelete,
    FileWrite,
    GitPush,
    Level,
    StepResult,
)

CLOSED = Policy(enabled=True)
OPEN = Policy(enabled=True, max_level=Level.HIGH, allowed_types=ALL_TYPES, require_scan=False)
TWO = (Seat("approver", count=2),)
SECURITY = (Seat(group="security"),)


def rule(outcome: Outcome, when: str, rule_id: str = "r", **fields: object) -> Rule:
    return Rule(rule_id, outcome, compile(when), f"because of {rule_id}", **fields)  # type: ignore[arg-type]


def asked(*actions: Action, **fields: object) -> Question:
    given: dict[str, object] = {"types": frozenset({"code_execution"}), "actions": actions or (Command(script="make"),)}
    return Question(Level.LOW, **{**given, **fields})  # type: ignore[arg-type]


def with_rules(policy: Policy, *rules: Rule) -> Policy:
    return replace(policy, rules=rules, etag="v7")


def test_an_allow_rule_lets_pass_what_the_simple_fields_do_not() -> None:
    policy = with_rules(CLOSED, rule(Outcome.AUTO, "action.kind == 'command'", use_within_ms=9))
    assert evaluate(policy, asked()) == Verdict(Outcome.AUTO, "because of r", "r", "v7", use_within_ms=9)
    assert evaluate(policy, asked(FileWrite("a"))).outcome is Outcome.HUMAN


def test_an_allow_rule_must_match_every_action() -> None:
    policy = with_rules(CLOSED, rule(Outcome.AUTO, "action.kind == 'command'"))
    assert evaluate(policy, asked(Command(script="ls"), FileWrite("a"))).outcome is Outcome.HUMAN
    assert evaluate(policy, asked(FileWrite("a"), Command(script="ls"))).outcome is Outcome.HUMAN


@pytest.mark.parametrize("outcome", [Outcome.DENY, Outcome.HUMAN])
def test_a_stricter_rule_matches_any_action(outcome: Outcome) -> None:
    policy = with_rules(OPEN, rule(outcome, "action.kind == 'file_write'"))
    assert evaluate(policy, asked(Command(script="ls"), FileWrite("a"))).outcome is outcome
    assert evaluate(policy, asked(Command(script="ls"))).outcome is Outcome.AUTO


def test_a_compound_command_slips_past_no_allow_rule() -> None:
    policy = with_rules(CLOSED, rule(Outcome.AUTO, "action.programs.all(p, p in ['git', 'ls'])"))
    for script in ("git status && ls", "ls | ls", "/usr/bin/git log"):
        assert evaluate(policy, asked(Command(script=script))).outcome is Outcome.AUTO
    for script in (
        "git status && rm x",
        "ls $(rm x)",
        "sh -c 'ls; rm x'",
        "./git log",
        "ls() { rm x; }; ls",
        "$X",
        "(",
        "",
    ):
        assert evaluate(policy, asked(Command(script=script))).outcome is Outcome.HUMAN, script


def test_deny_beats_human_beats_auto_in_any_order() -> None:
    rules = [rule(Outcome.AUTO, "true", "a"), rule(Outcome.HUMAN, "true", "h"), rule(Outcome.DENY, "true", "d")]
    for order in (rules, rules[::-1]):
        verdict = evaluate(with_rules(OPEN, *order), asked())
        assert (verdict.outcome, verdict.rule, verdict.reason) == (Outcome.DENY, "d", "because of d")
    assert evaluate(with_rules(OPEN, *rules[:2]), asked()).outcome is Outcome.HUMAN


def test_quorums_of_all_rules_that_ask_are_combined() -> None:
    policy = with_rules(
        OPEN,
        rule(
            Outcome.HUMAN,
            "true",
            "one",
            quorum=(Seat("approver"), Seat(group="security", count=2)),
            decide_within_ms=50,
        ),
        rule(Outcome.HUMAN, "false", "no", quorum=(Seat("admin", count=9),), decide_within_ms=1),
        rule(Outcome.HUMAN, "true", "two", quorum=TWO + SECURITY, decide_within_ms=70, use_within_ms=30),
    )
    verdict = evaluate(policy, asked())
    assert verdict.quorum == (Seat(group="security", count=2), Seat("approver", count=2))
    assert (verdict.decide_within_ms, verdict.use_within_ms, verdict.rule) == (50, 30, "one,two")
    assert verdict.reason == "because of one; because of two"


def test_a_reason_names_a_few_rules_and_counts_the_others() -> None:
    verdict = evaluate(with_rules(OPEN, *(rule(Outcome.DENY, "true", f"r{n}") for n in range(5))), asked())
    assert verdict.reason == "because of r0; because of r1; because of r2; and 2 more"
    assert verdict.rule == "r0,r1,r2,r3,r4"


@pytest.mark.parametrize("level", [Level.CRITICAL, Level.UNKNOWN])
def test_no_rule_lets_critical_or_unknown_pass(level: Level) -> None:
    policy = with_rules(OPEN, rule(Outcome.AUTO, "true"))
    verdict = evaluate(policy, replace(asked(), level=level))
    assert (verdict.outcome, verdict.reason) == (Outcome.HUMAN, f"{level.name} is never approved automatically")


def test_no_rule_lets_pass_what_was_required_or_where_nothing_is_enabled() -> None:
    allow = rule(Outcome.AUTO, "true")
    assert evaluate(with_rules(OPEN, allow), asked(require_approval=True)).outcome is Outcome.HUMAN
    assert evaluate(with_rules(replace(OPEN, enabled=False), allow), asked()).outcome is Outcome.HUMAN


def test_what_was_required_still_gets_the_quorum_of_rules_or_is_denied() -> None:
    human, deny = rule(Outcome.HUMAN, "true", "h", quorum=TWO), rule(Outcome.DENY, "true", "d")
    verdict = evaluate(with_rules(OPEN, human), asked(require_approval=True))
    assert (verdict.quorum, verdict.reason) == (TWO, "approval was required explicitly; because of h")
    assert evaluate(with_rules(OPEN, human, deny), asked(require_approval=True)).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome.AUTO, Outcome.HUMAN), (Outcome.HUMAN, Outcome.HUMAN), (Outcome.DENY, Outcome.DENY)],
)
@pytest.mark.parametrize("when", ["action.words[99] == 'x'", "1 / assessment.score == 1"])
def test_a_rule_without_an_answer_fails_closed_and_says_so(outcome: Outcome, expected: Outcome, when: str) -> None:
    base = CLOSED if outcome is Outcome.AUTO else OPEN
    verdict = evaluate(with_rules(base, rule(outcome, when)), asked())
    assert verdict.outcome is expected
    assert ("r could not be evaluated" in verdict.reason) is (outcome is not Outcome.AUTO)


def test_a_rule_that_cannot_be_read_any_more_fails_closed() -> None:
    for outcome in (Outcome.HUMAN, Outcome.DENY):
        policy = with_rules(OPEN, Rule("old", outcome, unusable("gone()", "it cannot be read any more"), "old"))
        assert evaluate(policy, asked()).outcome is outcome


def test_a_rule_about_actions_has_no_answer_where_none_could_be_read() -> None:
    nothing = replace(asked(), actions=(), level=Level.UNKNOWN)
    assert evaluate(with_rules(OPEN, rule(Outcome.DENY, "action.force")), nothing).outcome is Outcome.DENY
    assert evaluate(with_rules(OPEN, rule(Outcome.DENY, "agent == 'x'")), nothing).outcome is Outcome.HUMAN


def test_values_of_one_action_are_not_those_of_the_next() -> None:
    big = Command(argv=("ls",) * 300)
    policy = with_rules(CLOSED, rule(Outcome.AUTO, "'ls' in action.words"))
    assert evaluate(policy, asked(Command(script="ls"), Command(script="ls"))).outcome is Outcome.AUTO
    assert evaluate(policy, asked(Command(script="ls"), big)).outcome is Outcome.HUMAN


@pytest.mark.parametrize(
    ("action", "when"),
    [
        (Command(script="sudo /usr/bin/Rm x"), "action.programs == ['sudo', 'rm']"),
        (Command(argv=("k", "get", "pods")), "action.programs == ['kubectl'] && action.words == ['k', 'get', 'pods']"),
        (Command(script="echo $(date)"), "action.words.exists(w, w.contains('?'))"),
        (Command(script="make"), "action.script == 'make' && action.path == '' && action.size == 4"),
        (FileWrite("docs/../src/./a.py", "x"), "action.path == 'src/a.py' && action.kind == 'file_write'"),
        (FileWrite("/srv/app/src/a.py"), "action.path == 'src/a.py'"),
        (FileWrite("../other/a.py"), "action.path == '/srv/other/a.py'"),
        (FileWrite("out/a.py"), "action.path == '/etc/a.py'"),
        (FileDelete("build", recursive=True), "action.recursive && action.path == 'build'"),
        (ApiCall("post", "https://API.example.com/x"), "action.method == 'POST' && action.host == 'api.example.com'"),
        (GitPush("origin", "+main"), "action.force && action.refspecs == ['+main'] && action.remote == 'origin'"),
        (GitPush("origin", "main", force=True), "action.force && action.programs == ['git']"),
        (GitPush("origin", "main"), "!action.force"),
        (StepResult("a", "b"), "action.kind == 'step_result' && action.programs == []"),
    ],
)
def test_what_rules_see_of_an_action(action: Action, when: str) -> None:
    where = Context(environment="staging", working_dir="/srv/app", links={"out": "/etc"})
    assert evaluate(with_rules(CLOSED, rule(Outcome.DENY, when)), asked(action, where=where)).outcome is Outcome.DENY


@pytest.mark.parametrize(
    "when",
    [
        "environment == 'staging' && agent == 'coder' && project == 'p' && requester == 'alice'",
        "assessment.level == LOW && assessment.score == 7 && assessment.types == ['code_execution']",
        "assessment.unread == ['cobol'] && request.actions == 1 && !request.require_approval",
        "factors.ids == ['a.b', 'a.c'] && factors.categories == ['a']",
        "time.hour == 0 && time.weekday == FRIDAY && time.date == '2024-03-01' && time.minute == 30",
        "time.utc_hour == 23 && time.utc_weekday == THURSDAY && time.utc_date == '2024-02-29'",
    ],
)
def test_what_rules_see_of_a_request(when: str) -> None:
    question = asked(
        where=Context(environment="staging", agent="coder"),
        project="p",
        requester="alice",
        score=7,
        unread=("cobol",),
        factors=(Factor("a.b", "a", "", 3), Factor("a.c", "a", "", 4), Factor("a.b", "a", "", 1)),
        now_ms=1_709_249_400_000,  # 2024-02-29 23:30 UTC
    )
    policy = replace(with_rules(CLOSED, rule(Outcome.DENY, when)), time_zone="Europe/Berlin")
    assert evaluate(policy, question).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://github.com/x", "github.com"),
        ("https://GitHub.com.:443/x", "github.com"),
        ("https://github.com@evil.com/x", "evil.com"),
        ("https://[::1]:80/", "::1"),
        ("https://evil.com\\@github.com/", "?"),
        ("https://evil.com\t@github.com/", "?"),
        ("https://evil.com%2f@github.com:x/", "?"),
        ("https://g\u0131thub.com/", "?"),
        ("github.com/x", "?"),
        ("https://[::1", "?"),
        ("", "?"),
    ],
)
def test_a_host_is_what_every_client_takes_it_for(url: str, host: str) -> None:
    assert host_of(url) == host


ALWAYS = Window(to_ms=1 << 60)
NEVER = Window(from_ms=1 << 60, to_ms=1 << 61)


def test_a_freeze_holds_up_everything_but_its_exceptions() -> None:
    reading = compile("size(assessment.types) == 0")
    policy = replace(OPEN, freezes=(Freeze("weekend", Outcome.DENY, ALWAYS, "no changes", reading),))
    verdict = evaluate(policy, asked())
    assert (verdict.outcome, verdict.rule, verdict.reason) == (Outcome.DENY, "weekend", "no changes")
    assert evaluate(policy, asked(types=frozenset())).outcome is Outcome.AUTO
    over = replace(policy, freezes=(replace(policy.freezes[0], window=NEVER),))
    assert evaluate(over, asked()).outcome is Outcome.AUTO


def test_an_exception_without_an_answer_is_none() -> None:
    freeze = Freeze("weekend", Outcome.DENY, ALWAYS, "no changes", compile("action.words[99] == 'x'"))
    verdict = evaluate(replace(OPEN, freezes=(freeze,)), asked())
    assert verdict.outcome is Outcome.DENY
    assert "could not be evaluated" in verdict.reason


def test_an_exception_must_hold_for_every_action() -> None:
    freeze = Freeze("weekend", Outcome.HUMAN, ALWAYS, "ask first", compile("action.kind == 'command'"))
    policy = replace(OPEN, freezes=(freeze,))
    assert evaluate(policy, asked(Command(script="ls"))).outcome is Outcome.AUTO
    assert evaluate(policy, asked(Command(script="ls"), FileWrite("a"))).outcome is Outcome.HUMAN


def test_a_freeze_that_asks_says_who_beside_the_rules() -> None:
    seats = (Seat("approver", count=1), Seat(group="on-call"))
    policy = replace(OPEN, freezes=(Freeze("holidays", Outcome.HUMAN, ALWAYS, "agree on it", quorum=seats),))
    verdict = evaluate(policy, asked())
    assert (verdict.outcome, verdict.rule, verdict.quorum) == (
        Outcome.HUMAN,
        "holidays",
        (Seat(group="on-call"), Seat("approver")),
    )
    rule = Rule("two", Outcome.HUMAN, compile("true"), "two", (Seat("approver", count=2),))
    both = evaluate(replace(policy, rules=(rule,)), asked())
    assert both.quorum == (Seat(group="on-call"), Seat("approver", count=2))
    over = replace(policy, freezes=(replace(policy.freezes[0], window=NEVER),))
    assert evaluate(over, asked()).quorum == ()


@pytest.mark.parametrize(
    ("cwd", "seen"),
    [("", ""), (".", ""), ("/work", ""), ("lib/", "lib"), ("lib/..", ""), ("/work/lib", "lib"), ("../x", "/x")],
)
def test_where_a_command_starts_and_with_what_is_seen(cwd: str, seen: str) -> None:
    command = Command(argv=("make",), cwd=cwd, env={"B": "2", "A": "1=1"})
    rule = Rule(
        "r",
        Outcome.DENY,
        compile(f"action.cwd == '{seen}' && action.env == ['A=1=1', 'B=2']"),
        "why",
    )
    question = replace(asked(command), where=Context(working_dir="/work"))
    assert evaluate(replace(OPEN, rules=(rule,)), question).outcome is Outcome.DENY
    elsewhere = replace(question, actions=(replace(command, cwd="other"),))
    assert evaluate(replace(OPEN, rules=(rule,)), elsewhere).outcome is not Outcome.DENY


# Properties: documents and questions at random.

CONDITIONS = st.sampled_from(
    [
        "true",
        "false",
        "action.kind == 'command'",
        "assessment.level >= HIGH",
        "action.words[2] == 'x'",
        "action.programs.all(p, p in ['git', 'make'])",
        "'a.b' in factors.ids",
        "size(assessment.unread) == 0",
        "1 / assessment.score > 0",
        "time.hour < 8 || agent == 'coder'",
    ]
).map(compile)
SEATS = st.lists(
    st.builds(Seat, st.sampled_from(["approver", "admin"]), st.just(""), st.integers(1, 4))
    | st.builds(Seat, st.just(""), st.sampled_from(["security", "dba"]), st.integers(1, 4)),
    max_size=3,
    unique_by=lambda seat: (seat.role, seat.group),
).map(tuple)
TIMES = st.sampled_from([0, 1, 60_000])
RULES = st.builds(Rule, st.just("r"), st.sampled_from(Outcome), CONDITIONS, st.just("e"), SEATS, TIMES, TIMES)
FREEZES = st.builds(
    Freeze,
    st.just("f"),
    st.sampled_from([Outcome.HUMAN, Outcome.DENY]),
    st.sampled_from([ALWAYS, NEVER, Window(frozenset({4}), 0, 600)]),
    st.just("e"),
    st.none() | CONDITIONS,
    SEATS,
)
SIMPLE = st.builds(
    Policy,
    st.booleans(),
    st.sampled_from([Level.LOW, Level.MEDIUM, Level.HIGH]),
    st.frozensets(st.sampled_from(sorted(ALL_TYPES))),
    st.booleans(),
)
POLICIES = st.builds(
    lambda simple, rules, freezes: replace(simple, rules=tuple(rules), freezes=tuple(freezes)),
    SIMPLE,
    st.lists(RULES, max_size=6),
    st.lists(FREEZES, max_size=2),
)
QUESTIONS = st.builds(
    Question,
    level=st.sampled_from(Level),
    types=st.frozensets(st.sampled_from(sorted(ALL_TYPES))),
    unread=st.sampled_from([(), ("cobol code",)]),
    require_approval=st.booleans(),
    score=st.sampled_from([0, 1]),
    factors=st.sampled_from([(), (Factor("a.b", "a", "", 3),)]),
    actions=st.lists(
        st.sampled_from([Command(script="git log"), Command(argv=("a", "b", "x")), FileWrite("a")]), max_size=3
    ),
    where=st.sampled_from([Context(), Context(agent="coder")]),
    now_ms=st.integers(0, 1 << 42),
)


def covers(seats: tuple[Seat, ...], others: tuple[Seat, ...]) -> bool:
    mine = {(seat.role, seat.group): seat.count for seat in seats}
    return all(mine.get((seat.role, seat.group), 0) >= seat.count for seat in others)


def shorter(one: int, other: int) -> bool:
    return not other or 0 < one <= other


@settings(deadline=None)
@given(POLICIES, QUESTIONS, st.one_of(RULES.filter(lambda each: each.outcome is not Outcome.AUTO), FREEZES))
def test_one_more_strict_rule_is_never_laxer(policy: Policy, question: Question, more: Rule | Freeze) -> None:
    before = evaluate(policy, question)
    if isinstance(more, Rule):
        after = evaluate(replace(policy, rules=(*policy.rules, more)), question)
    else:
        after = evaluate(replace(policy, freezes=(*policy.freezes, more)), question)
    assert after.outcome >= before.outcome
    if after.outcome is before.outcome:
        assert covers(after.quorum, before.quorum)
        assert shorter(after.decide_within_ms, before.decide_within_ms)
        assert shorter(after.use_within_ms, before.use_within_ms)


@settings(deadline=None)
@given(POLICIES, QUESTIONS)
def test_what_never_passes_never_passes(policy: Policy, question: Question) -> None:
    verdict = evaluate(policy, question)
    never = question.require_approval or question.level in (Level.CRITICAL, Level.UNKNOWN) or not policy.enabled
    assert not (never and verdict.outcome is Outcome.AUTO)
    assert verdict.reason


@settings(deadline=None)
@given(SIMPLE | st.sampled_from(list(DEFAULTS.values())), QUESTIONS)
def test_the_simple_fields_are_what_their_rules_say(policy: Policy, question: Question) -> None:
    (compiled,) = rules_of(policy)
    views = Views(question, compiled.when.names, "UTC")
    if compiled.outcome is Outcome.AUTO:
        matches = matched(compiled.when, views, every=True) is True
        never = question.require_approval or question.level in (Level.CRITICAL, Level.UNKNOWN)
        assert (matches and not never) is (evaluate(policy, question).outcome is Outcome.AUTO)
    else:
        assert matched(compiled.when, views, every=False) is True
        assert evaluate(policy, question).outcome is compiled.outcome is Outcome.HUMAN


@settings(deadline=None)
@given(st.lists(SEATS, max_size=4))
def test_a_combined_quorum_covers_each_and_asks_for_no_more(quorums: list[tuple[Seat, ...]]) -> None:
    combined = strictest_quorum(quorums)
    assert all(covers(combined, quorum) for quorum in quorums)
    assert all(any(seat in quorum for quorum in quorums) for seat in combined)
