"""The policies that come with the service, until an admin saves others: one file an environment, in `defaults/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import policy_pb2
from services.approval import convert
from services.approval.policy.messages import saved_policy_of
from services.approval.policy.model import Policy

ETAG = "v0"


def _load() -> dict[str, policy_pb2.Policy]:
    loaded = {}
    for path in sorted((Path(__file__).parent / "defaults").glob("*.yaml")):
        message = ParseDict(yaml.safe_load(path.read_text()), policy_pb2.Policy())
        loaded[convert.environment_name(message.environment, "")] = message
    return loaded


MESSAGES: Mapping[str, policy_pb2.Policy] = _load()
"""As the contract has them, by environment; `trials.check_shipped` holds them to their cases."""

DEFAULTS: Mapping[str, Policy] = {name: saved_policy_of(message, ETAG) for name, message in MESSAGES.items()}
