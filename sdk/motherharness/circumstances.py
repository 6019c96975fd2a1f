"""What a worker knows about the place where its actions would run: it is assessed and shown, and never changes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.approval.v1.risk_pb2 import FileState, RiskLevel
from harness.orchestrator.v1 import agent_pb2

MAX_CONTENT_BYTES = 1024 * 1024
"""Content of observed files that one proposal may carry, as the contract says."""
MAX_PROPOSAL_BYTES = 3 * 1024 * 1024
"""A message may have 4 MiB by default: what is only shown gives way to the actions themselves."""


@dataclass(frozen=True)
class Circumstances:
    """Where actions would run, and what they would find there.

    Attributes:
        root: the folder that the agent may change, as an absolute path; empty if there is none.
        links: symbolic links that paths of the actions go through, path to target, each absolute or relative to
            root; a target that is relative starts at its link's folder.
        rating: how risky the agent itself says that the actions are: "low", "medium", "high", "critical" or "unknown".
            It can raise the level and never lowers it; empty if it says nothing.
        observed: files that the actions would replace or delete, as they are now; at most 32.
    """

    root: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    rating: str = ""
    observed: Sequence[FileState] = ()

    def tell(self, request: agent_pb2.ProposeActionsRequest) -> None:
        """Put what is known into a proposal, with as much of the files' content as it has room for.

        Raises:
            ValueError: the rating is none of those above.
        """
        request.working_directory = self.root
        request.links.update(self.links)
        if self.rating:
            request.agent_rating = RiskLevel.Value(f"RISK_LEVEL_{self.rating.upper()}")
        left = min(MAX_CONTENT_BYTES, MAX_PROPOSAL_BYTES - request.ByteSize())
        for state in self.observed:
            told = request.observed.add()
            told.CopyFrom(state)
            needed = told.ByteSize()
            if needed > left:
                told.ClearField("content")
            else:
                left -= needed
