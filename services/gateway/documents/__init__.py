"""The OpenAPI documents and Swagger UI, served by the gateway: gen/openapi, with nothing fetched from elsewhere.

    /documentation                    Swagger UI
    /documentation/json               OpenAPI 3.1 of everything, and .../v2/json in 2.0
    /documentation/{service}/json     of one service, and .../v2/json in 2.0
    /openapi.yaml                     OpenAPI 3.1 of everything, as YAML

They are made from the contracts (tools/contracts.py), so a new call is in them without a change here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import Route

from services.gateway.documents import page
from services.gateway.documents.files import folder, openapi
from services.gateway.documents.resource import Resource

if TYPE_CHECKING:
    from services.gateway.settings import GatewaySettings

__all__ = ["routes", "routes_of"]


def routes(settings: GatewaySettings) -> list[Route]:
    """The routes of the documents that belong to this version of the contracts; none if they are not to be served.

    Raises:
        ConfigurationError: the documents, or the files of Swagger UI, are not installed.
    """
    return routes_of(folder()) if settings.gateway_documents else []


def routes_of(documents: Path) -> list[Route]:
    """The same for the documents in a folder, such as those of other contracts.

    Raises:
        ConfigurationError: there are none, or the files of Swagger UI are not installed.
    """
    described = openapi(documents)
    resources: list[Resource] = [*described, *page.resources([part for part in described if part.menu])]
    return [resource.route() for resource in resources]
