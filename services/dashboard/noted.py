"""What an entry of the audit is about: what people call it, and its page; pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

PAGES = {"subscription": "/webhooks", "replay": "/replays", "resend": "/resends"}
"""Where objects have a page of their own."""
OVER = ("delete",)
"""After these there is no page any more."""
NAMES = ("description", "name", "label")
"""What kinds of objects keep their name as."""


def named(entry: Mapping[str, Any], webhooks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what people call the object; nothing where it has no name.

    An entry of a change has only what was changed: a webhook is named by what it is called today.
    """
    known = webhooks.get(entry["object_id"], {}) if entry["object_type"] == "subscription" else {}
    for document in (known, entry["after"] or {}, entry["before"] or {}):
        for name in NAMES:
            if document.get(name):
                return str(document[name])
        if isinstance(document.get("url"), str):
            return urlsplit(document["url"]).hostname or str(document["url"])
    return ""


def page_of(entry: Mapping[str, Any], *, is_operator: bool) -> str | None:
    """Return where the object is shown; None where it has no page, or is gone."""
    kind, id_ = entry["object_type"], entry["object_id"]
    if entry["action"] in OVER:
        return None
    if kind in PAGES:
        return f"{PAGES[kind]}/{id_}"
    if is_operator and kind in ("project", "api_key"):
        return f"/projects/{entry['project_id']}"
    return None
