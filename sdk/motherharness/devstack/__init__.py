"""The suite on one machine, for `harness dev`, `harness demo` and tests."""

from motherharness.devstack.redis import RedisMissing, find_redis_server
from motherharness.devstack.stack import Stack, StackError

__all__ = ["RedisMissing", "Stack", "StackError", "find_redis_server"]
