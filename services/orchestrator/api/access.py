"""Who sees what: people their own, admins and services everything. What a caller may not see is not there for them."""

from __future__ import annotations

from services.orchestrator.store import projects, tasks
from services.orchestrator.store.projects import Project, ProjectStore
from services.orchestrator.store.tasks import Task, TaskStore
from services.runtime.context import Caller, current_caller


def sees_all(caller: Caller) -> bool:
    """Whether the caller is not bound to what is their own."""
    return caller.is_admin or caller.is_service


def may_see(owner: str) -> bool:
    """Whether the caller of the RPC being served may see and touch what this subject owns."""
    caller = current_caller()
    return sees_all(caller) or caller.subject == owner


def owns(owner: str) -> bool:
    """Whether the caller of the RPC being served is this subject: what is a person's own is shown to them unmasked."""
    return current_caller().subject == owner


def listed_owner() -> str | None:
    """Return whose resources a list shows the caller; None is everybody's."""
    caller = current_caller()
    return None if sees_all(caller) else caller.subject


async def visible_project(store: ProjectStore, project_id: str) -> Project:
    """Return a project. Raises NotFound if there is none that the caller may see."""
    project = await store.load(project_id)
    if project is None or not may_see(project.owner):
        raise projects.not_found(project_id)
    return project


async def visible_task(store: TaskStore, task_id: str) -> Task:
    """Return a task with its plan. Raises NotFound if there is none that the caller may see."""
    task = await store.load(task_id)
    if task is None or not may_see(task.owner):
        raise tasks.not_found(task_id)
    return task
