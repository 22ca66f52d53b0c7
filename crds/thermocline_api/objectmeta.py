"""What Thermocline reads of an object's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from thermocline_api.codec import LABELS, TIME, record, wire


@record
class ObjectMeta:
    """Metadata. What only an API server gives is None in a manifest that has not been there."""

    name: str = wire("name")
    uid: str | None = wire("uid", default=None)
    resource_version: str | None = wire("resourceVersion", default=None)
    generation: int | None = wire("generation", default=None)
    creation_timestamp: datetime | None = wire("creationTimestamp", TIME, default=None)
    labels: Mapping[str, str] | None = wire("labels", LABELS, default=None, hash=False)
