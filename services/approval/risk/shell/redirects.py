"""Redirections: what a command gets on its standard input, and where its output goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk import patterns, scoring
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.words import Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


_VARIABLE = patterns.compile(r'"?\$\{?\w+\}?"?')
_ENDS_A_WORD = frozenset(";&|()")


def words_behind(redirect: Node) -> list[Node]:
    """The words after the target of a redirection: the grammar takes them for targets too, bash for words of the command."""
    return redirect.children_by_field_name("destination")[1:] if redirect.type == "file_redirect" else []


def given(walker: Walker, redirect: Node, stdin: Flow) -> Flow:
    """What the command reads, after this redirection."""
    if redirect.type == "heredoc_redirect":
        body = next((child for child in redirect.named_children if child.type == "heredoc_body"), None)
        start = next((child for child in redirect.named_children if child.type == "heredoc_start"), None)
        if start is not None and not _ENDS_A_WORD.isdisjoint(walker.resolver.raw(start)):
            walker.unreadable("line-end", "Where a here-document ends is not certain.", walker.resolver.raw(redirect))
        literal = start is not None and any(mark in walker.resolver.raw(start) for mark in "'\"\\")
        value = walker.resolver.heredoc(body, literal=literal) if body is not None else Value("")
        return Flow(value.text, value.taints, present=True)
    if redirect.type == "herestring_redirect":
        value = walker.resolver.text(redirect.named_children[-1]) if redirect.named_child_count else Value()
        return Flow(value.text + "\n", value.taints, present=True)
    if _operator(redirect) not in ("<", "<>"):
        return stdin
    target = _target(walker, redirect)
    return stdin if target.text in flows.STDIN and target.text != "-" else flows.reads(walker, target.text, target.taints)


def all_taken(walker: Walker, redirects: Sequence[Node], flow: Flow) -> Flow:
    """What is left of a command's output, after all of these redirections."""
    for redirect in redirects:
        if redirect.type == "file_redirect" and walker.step():
            flow = taken(walker, redirect, flow)
    return flow


def taken(walker: Walker, redirect: Node, flow: Flow) -> Flow:
    """What is left of a command's output, after this redirection."""
    if redirect.type != "file_redirect":
        return flow
    sign = _operator(redirect)
    both = sign == "<" and walker.resolver.source[redirect.start_byte : redirect.end_byte].partition(b"<")[2][:1] == b">"
    if not sign.startswith((">", "&>")) and not both:
        return flow
    destination = redirect.child_by_field_name("destination")
    if destination is not None and destination.type == "process_substitution":
        walker.feed(destination, flow)
        return Flow(taints=flow.taints, present=True)
    target = _target(walker, redirect)
    if sign in (">&", "<&") and (target.text.removesuffix("-").isdigit() or target.text == "-"):
        return flow
    append = sign in (">>", "&>>")
    if flows.MANY in target.taints and not append and destination is not None and _VARIABLE.fullmatch(walker.resolver.raw(destination)):
        message = "Writes over one file after the other, outside the working directory."
        walker.flag("destruction.overwrite-many", scoring.HIGH, message, walker.resolver.raw(redirect))
    flows.writes(walker, target.text, flow, append=append)
    return Flow(taints=flow.taints, present=True)


def _operator(redirect: Node) -> str:
    return next((child.type for child in redirect.children if not child.is_named), "")


def _target(walker: Walker, redirect: Node) -> Word:
    destination = redirect.child_by_field_name("destination")
    found = walker.resolver.words(destination) if destination is not None else []
    return found[0] if found else Word("")
