"""ProjectService over gRPC."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from harness.common.v1.action_pb2 import ENVIRONMENT_DEVELOPMENT, ENVIRONMENT_PRODUCTION
from harness.orchestrator.v1.project_pb2 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsRequest,
    Project,
    UpdateProjectRequest,
)
from tests.integration.orchestrator.conftest import Join, Someone, reason_of


async def listed(someone: Someone, **fields: object) -> list[str]:
    """Return all ids, reading pages of 7."""
    found: list[str] = []
    token = ""
    while True:
        request = ListProjectsRequest(page_size=7, page_token=token, **fields)  # type: ignore[arg-type]
        page = await someone.projects.ListProjects(request)
        assert len(page.projects) <= 7
        found += [project.id for project in page.projects]
        token = page.next_page_token
        if not token:
            return found


async def test_a_project_is_what_was_asked_for(join: Join) -> None:
    alice = join()
    request = CreateProjectRequest(display_name="Ünïcode", description="d", environment=ENVIRONMENT_PRODUCTION)
    project = (await alice.projects.CreateProject(request)).project
    assert (project.display_name, project.description, project.environment, project.owner) == (
        "Ünïcode", "d", ENVIRONMENT_PRODUCTION, alice.subject,
    )  # fmt: skip
    assert project.create_time.seconds > 1_700_000_000
    assert (await alice.projects.GetProject(GetProjectRequest(project_id=project.id))).project == project


async def test_no_environment_is_development(join: Join) -> None:
    assert (await join().project()).environment == ENVIRONMENT_DEVELOPMENT


async def test_a_request_id_creates_once(join: Join) -> None:
    alice, bob = join(), join()
    request = CreateProjectRequest(display_name="once", request_id="r:1")
    first = (await alice.projects.CreateProject(request)).project
    assert (await alice.projects.CreateProject(request)).project == first
    assert await listed(alice) == [first.id]
    assert (await bob.projects.CreateProject(request)).project.id != first.id
    request.display_name = "other"
    assert await reason_of(alice.projects.CreateProject(request)) == "REQUEST_ID_REUSED"


async def test_what_is_others_does_not_exist(join: Join) -> None:
    alice, bob, admin, service = join(), join(), join("admin"), join("service")
    project = await alice.project()
    update = UpdateProjectRequest(project=Project(id=project.id, display_name="x"), update_mask=FieldMask(paths=["*"]))
    for call in (
        bob.projects.GetProject(GetProjectRequest(project_id=project.id)),
        bob.projects.UpdateProject(update),
        bob.projects.ArchiveProject(ArchiveProjectRequest(project_id=project.id)),
    ):
        assert await reason_of(call) == "PROJECT_NOT_FOUND"
    assert await listed(bob) == []
    for operator in (admin, service):
        assert project.id in await listed(operator)
        assert (await operator.projects.GetProject(GetProjectRequest(project_id=project.id))).project == project


@pytest.mark.parametrize("name", ["x", "prj_", "prj_00", "../etc", "{o00}", "prj_" + "0" * 32, "run_00" + "0" * 32])
async def test_what_is_no_id_is_not_found(join: Join, name: str) -> None:
    assert await reason_of(join().projects.GetProject(GetProjectRequest(project_id=name))) == "PROJECT_NOT_FOUND"


async def test_an_id_cannot_reach_another_key(join: Join) -> None:
    alice = join()
    task = await alice.task()
    name = f"{task.project_id}:tasks"
    assert await reason_of(alice.projects.GetProject(GetProjectRequest(project_id=name))) == "PROJECT_NOT_FOUND"


async def test_pages_are_newest_first_and_complete_while_projects_are_added(join: Join) -> None:
    alice = join()
    made = [(await alice.project(str(n))).id for n in range(25)]
    first = await alice.projects.ListProjects(ListProjectsRequest(page_size=10))
    assert [project.id for project in first.projects] == made[:-11:-1]
    await alice.project("late")
    second = await alice.projects.ListProjects(ListProjectsRequest(page_size=50, page_token=first.next_page_token))
    assert [project.id for project in second.projects] == made[14::-1]
    assert second.next_page_token == ""
    assert len(await listed(alice)) == 26


async def test_a_token_is_for_its_query(join: Join) -> None:
    alice = join()
    for _ in range(2):
        await alice.project()
    token = (await alice.projects.ListProjects(ListProjectsRequest(page_size=1))).next_page_token
    other = ListProjectsRequest(page_size=1, page_token=token, show_archived=True)
    assert await reason_of(alice.projects.ListProjects(other)) == "PAGE_TOKEN_INVALID"


async def test_updates_name_their_fields_and_guard_with_the_etag(join: Join) -> None:
    alice = join()
    project = await alice.project("old")
    change = Project(id=project.id, display_name="new", description="ignored", etag=project.etag)
    request = UpdateProjectRequest(project=change, update_mask=FieldMask(paths=["display_name"]))
    updated = (await alice.projects.UpdateProject(request)).project
    assert (updated.display_name, updated.description) == ("new", "")
    assert updated.etag != project.etag
    assert await reason_of(alice.projects.UpdateProject(request)) == "ETAG_MISMATCH"
    request.project.etag = ""
    assert (await alice.projects.UpdateProject(request)).project.display_name == "new"


@pytest.mark.parametrize("paths", [[], ["owner"], ["display_name", "archived"], ["display_name"]])
async def test_wrong_updates_are_refused(join: Join, paths: list[str]) -> None:
    alice = join()
    project = await alice.project()
    request = UpdateProjectRequest(project=Project(id=project.id), update_mask=FieldMask(paths=paths))
    assert await reason_of(alice.projects.UpdateProject(request)) == "INVALID_UPDATE"


async def test_an_archived_project_stays_readable_and_closed(join: Join) -> None:
    alice = join()
    kept, project = await alice.project(), await alice.project()
    request = ArchiveProjectRequest(project_id=project.id)
    archived = (await alice.projects.ArchiveProject(request)).project
    assert archived.archived
    assert (await alice.projects.ArchiveProject(request)).project == archived
    assert (await alice.projects.GetProject(GetProjectRequest(project_id=project.id))).project == archived
    assert await listed(alice) == [kept.id]
    assert await listed(alice, show_archived=True) == [project.id, kept.id]
    update = UpdateProjectRequest(project=Project(id=project.id, display_name="x"), update_mask=FieldMask(paths=["*"]))
    assert await reason_of(alice.projects.UpdateProject(update)) == "PROJECT_ARCHIVED"
    assert await reason_of(alice.task(project_id=project.id)) == "PROJECT_ARCHIVED"
