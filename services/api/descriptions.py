"""What the API says of itself, without a key: `/openapi.json`, `/asyncapi.json`, `/schemas/…`, `/docs`.

The page at `/docs` is the OpenAPI document to read: plain HTML, nothing loaded from anywhere.
"""

import base64
import hashlib
from html import escape
from importlib import resources
from typing import Any

import orjson
from aiohttp import web

SCHEMAS = (
    "events/catalogue.json", "events/examples.json", "events/meanings.json", "events/schema.json",
    "filter.schema.json",
)  # fmt: skip
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code{font-size:.95em}h2{margin-top:2.5rem}h3{margin-bottom:0}"
    "dd{margin-left:1.5rem}table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem"
    " .2rem 0;vertical-align:top}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"


class Descriptions:
    """Serves documents that are made once."""

    def __init__(self, *, openapi: bytes, asyncapi: bytes) -> None:
        self._openapi = openapi
        self._asyncapi = asyncapi
        self._page = page(orjson.loads(openapi))

    def add_to(self, app: web.Application) -> None:
        """Add all of them to *app*."""
        app.router.add_get("/openapi.json", self._serve_openapi)
        app.router.add_get("/asyncapi.json", self._serve_asyncapi)
        app.router.add_get("/schemas/{name:.+}", self._schema)
        app.router.add_get("/docs", self._docs)

    async def _serve_openapi(self, _: web.Request) -> web.Response:
        return _json(self._openapi)

    async def _serve_asyncapi(self, _: web.Request) -> web.Response:
        return _json(self._asyncapi)

    async def _schema(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in SCHEMAS:
            raise web.HTTPNotFound
        return _json(resources.files("schemas").joinpath(name).read_bytes())

    async def _docs(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(text=self._page, content_type="text/html", headers=headers)


def page(openapi: Any) -> str:  # noqa: ANN401 - JSON
    """Return the OpenAPI document as a page for people."""
    operations = [
        _operation(method.upper(), path, operation)
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
    ]
    events = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(item['post']['summary'])}</td>"
        f"<td>{escape(item['post']['description'])}</td></tr>"
        for name, item in openapi["webhooks"].items()
    ]
    title = f"{openapi['info']['title']} {openapi['info']['version']}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{escape(openapi["info"]["description"])} Sign in with <code>Authorization: Bearer &lt;key&gt;</code>.
What is refused is told as <code>application/problem+json</code>, all faults at once.</p>
<p>All of it for programs: <a href="/openapi.json">OpenAPI</a>, <a href="/asyncapi.json">AsyncAPI</a>
(our topics), schemas of <a href="/schemas/events/schema.json">events</a> and
<a href="/schemas/filter.schema.json">filters</a>, the
<a href="/schemas/events/catalogue.json">catalogue</a>, its
<a href="/schemas/events/examples.json">examples</a> and
<a href="/schemas/events/meanings.json">what types and fields mean</a>.</p>
<h2>Requests</h2>
{"".join(operations)}
<h2>Events</h2>
<table>{"".join(events)}</table>
</body></html>
"""


def _operation(method: str, path: str, operation: Any) -> str:  # noqa: ANN401 - JSON
    rows = [
        f"<dd><code>{escape(each['name'])}</code> in the {each['in']}</dd>"
        for each in operation.get("parameters", [])
    ]
    sent = operation.get("requestBody", {}).get("content", {})
    rows += [f"<dd>takes {_schema(content)}</dd>" for content in sent.values()]
    rows += [
        f"<dd>{status}: {', '.join(map(_schema, answer['content'].values())) or 'nothing'}</dd>"
        for status, answer in operation["responses"].items()
        if status != "default" and "content" in answer
    ]
    name = f'<h3 id="{escape(operation["operationId"])}"><code>{method} {escape(path)}</code></h3>'
    return f"{name}<p>{escape(operation['summary'])}</p><dl>{''.join(rows)}</dl>\n"


def _schema(content: Any) -> str:  # noqa: ANN401 - JSON
    name = content["schema"].get("$ref", "lines").rpartition("/")[2]
    return f"<code>{escape(name)}</code>"


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
