"""Who asks, and what is kept of what they did."""

import os
from typing import NamedTuple

from services.control.access import Access
from services.control.audit import Audit
from services.control.projects import Projects
from services.control.rates import Rates
from services.run.api.base import Base


class People(NamedTuple):
    """Callers, their projects, and the book of what they changed."""

    access: Access
    audit: Audit
    projects: Projects


def people_of(base: Base) -> People:
    """Return who may ask."""
    stores, clock = base.stores, base.clock
    per_second = base.settings.api.key_requests_per_second
    audit = Audit(store=stores.audit, clock=clock, entropy=os.urandom)
    return People(
        access=Access(
            keys=stores.api_keys,
            links=stores.portal_links,
            projects=stores.projects,
            admin_key=base.admin_key,
            rates=Rates(per_second=per_second, monotonic=clock.monotonic),
            clock=clock,
        ),
        audit=audit,
        projects=Projects(
            store=stores.projects,
            keys=stores.api_keys,
            audit=audit,
            clock=clock,
            entropy=os.urandom,
        ),
    )
