"""The page of Swagger UI: all of it from this server, no script in the page itself, and no way to anywhere else."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from services.gateway.documents.files import ICON, SCRIPTS, STYLES, swagger_ui
from services.gateway.documents.resource import Resource

# Swagger UI sets styles from its scripts, which needs no permission, and has its icons as data: addresses.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
PAGE = "/documentation"
SETUP = "/documentation/setup.js"

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mother-Harness API</title>
<link rel="icon" type="image/png" href="{icon}">
{styles}
</head>
<body>
<noscript>This page needs scripts. The document itself is at <a href="openapi.yaml">openapi.yaml</a>.</noscript>
<div id="swagger-ui"></div>
{scripts}
</body>
</html>
"""
# The logo goes: it brings a style of its own, which the policy forbids. Addresses are relative, so that a proxy may put
# all of it under a prefix.
SCRIPT = """window.ui = SwaggerUIBundle({{
  ...{options},
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  plugins: [() => ({{ wrapComponents: {{ Logo: () => () => null }} }})],
  layout: "StandaloneLayout",
}});
"""


def resources(documents: Sequence[Resource]) -> list[Resource]:
    """The page, what it loads, and the script that opens it on the documents given, the first one first.

    Raises:
        ConfigurationError: Swagger UI is not installed.
    """
    files = swagger_ui()
    at = {file.path.rpartition("/")[2]: _relative(file.path) for file in files}
    scripts = [*(at[name] for name in SCRIPTS), _relative(SETUP)]
    page = TEMPLATE.format(
        icon=html.escape(at[ICON]),
        styles="\n".join(f'<link rel="stylesheet" href="{html.escape(at[name])}">' for name in STYLES),
        scripts="\n".join(f'<script src="{html.escape(script)}"></script>' for script in scripts),
    )
    options = {
        "urls": [{"name": document.menu, "url": _relative(document.path)} for document in documents],
        "deepLinking": True,
        "tryItOutEnabled": True,
        "displayRequestDuration": True,
        "docExpansion": "none",
        "filter": True,
        # Neither sent to a validator elsewhere, nor is the token kept in the browser.
        "validatorUrl": None,
        "persistAuthorization": False,
    }
    return [
        Resource(PAGE, "text/html", page.encode(), headers=HEADERS),
        Resource(SETUP, "text/javascript", SCRIPT.format(options=json.dumps(options)).encode()),
        *files,
    ]


def _relative(path: str) -> str:
    """A path of this server, from where the page is."""
    return path.removeprefix("/")
