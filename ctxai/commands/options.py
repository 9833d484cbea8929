"""Annotations that several commands share: groups of options in their help."""

from __future__ import annotations

from cyclopts import Group, Parameter

#: Options of a job array, one job a shard.
CLUSTER = Parameter(group=Group("Cluster", help="One command as many jobs, see `docs/scaling.md`.", sort_key=90))
