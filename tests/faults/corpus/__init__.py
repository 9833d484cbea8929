"""Every fault worth fearing, by name: how a good input is broken, and what ctxai promises to do about it.

``docs/reliability.md`` shows this table; a test compares the two.
"""

from faults.corpus import (
    annotations,
    archives,
    attributes,
    coding,
    files,
    geometry,
    points,
    runs,
    stores,
    texts,
    weights,
)
from faults.promises import Case

_PARTS = (files, coding, attributes, geometry, texts, archives, annotations, points, weights, runs, stores)
CASES: list[Case] = [case for part in _PARTS for case in part.FAULTS]
