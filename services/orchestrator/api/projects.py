"""ProjectService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from harness.orchestrator.v1 import project_pb2, project_pb2_grpc
from services.orchestrator.api import convert, pages
from services.orchestrator.api.access import listed_owner, visible_project
from services.orchestrator.plan import environment_name
from services.orchestrator.store.projects import ProjectStore
from services.orchestrator.store.requests import fingerprint
from services.runtime.context import current_caller
from services.runtime.errors import InvalidArgument
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]

UPDATABLE = ("display_name", "description", "environment")


class ProjectServicer(project_pb2_grpc.ProjectServiceServicer):
    """Serves projects from the store."""

    def __init__(self, projects: ProjectStore) -> None:
        self._projects = projects

    async def CreateProject(
        self, request: project_pb2.CreateProjectRequest, context: Context
    ) -> project_pb2.CreateProjectResponse:
        project = await self._projects.create(
            current_caller().subject,
            {
                "display_name": request.display_name,
                "description": request.description,
                "environment": environment_name(request.environment),
            },
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return project_pb2.CreateProjectResponse(project=convert.project(project))

    async def GetProject(
        self, request: project_pb2.GetProjectRequest, context: Context
    ) -> project_pb2.GetProjectResponse:
        project = await visible_project(self._projects, request.project_id)
        return project_pb2.GetProjectResponse(project=convert.project(project))

    async def ListProjects(
        self, request: project_pb2.ListProjectsRequest, context: Context
    ) -> project_pb2.ListProjectsResponse:
        page = page_for(request)
        entries, more = await self._projects.list(
            owner=listed_owner(),
            show_archived=request.show_archived,
            limit=page.size,
            after=pages.entry_of(page.cursor),
        )
        taken, cursor = await pages.fill(pages.rows(entries, self._messages), more)
        return project_pb2.ListProjectsResponse(projects=taken, next_page_token=page.next_token(cursor))

    async def _messages(self, project_ids: Sequence[str]) -> list[project_pb2.Project | None]:
        found = await self._projects.load_many(project_ids)
        return [convert.project(project) if project is not None else None for project in found]

    async def UpdateProject(
        self, request: project_pb2.UpdateProjectRequest, context: Context
    ) -> project_pb2.UpdateProjectResponse:
        fields = _updates(request)
        project = await visible_project(self._projects, request.project.id)
        project = await self._projects.update(project.id, fields, request.project.etag)
        return project_pb2.UpdateProjectResponse(project=convert.project(project))

    async def ArchiveProject(
        self, request: project_pb2.ArchiveProjectRequest, context: Context
    ) -> project_pb2.ArchiveProjectResponse:
        project = await visible_project(self._projects, request.project_id)
        project = await self._projects.archive(project)
        return project_pb2.ArchiveProjectResponse(project=convert.project(project))


def _updates(request: project_pb2.UpdateProjectRequest) -> dict[str, str]:
    """Return the new values of the fields in the mask; `*` is all of them (AIP-134)."""
    paths = list(request.update_mask.paths)
    names = list(UPDATABLE) if paths == ["*"] else paths
    violations = [
        (f"update_mask.paths[{position}]", f"'{name}' is not one of {', '.join(UPDATABLE)}")
        for position, name in enumerate(names)
        if name not in UPDATABLE
    ]
    if not names:
        violations.append(("update_mask.paths", f"name at least one of {', '.join(UPDATABLE)}"))
    if "display_name" in names and not request.project.display_name:
        violations.append(("project.display_name", "must not be empty"))
    if violations:
        field, problem = violations[0]
        raise InvalidArgument("INVALID_UPDATE", f"{field}: {problem}", violations=violations)
    given = {
        "display_name": request.project.display_name,
        "description": request.project.description,
        "environment": environment_name(request.project.environment),
    }
    return {name: given[name] for name in names}
