"""Branching trees that fill a lung: arteries, veins and airways.

A tree grows towards scattered end points, each joined to the node that makes the way short both from there and from
the root (the balanced minimum spanning tree of Cuntz et al., PLoS Comput Biol 2010). Radii follow Murray's law: the
sum of the daughters' radii to a power equals that of the mother.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctxai.phantom.anatomy.thorax import Thorax
from ctxai.phantom.splat import Cloud, tubes

MURRAY = 2.75
_SAMPLE_MM = 0.6


@dataclass(frozen=True)
class Tree:
    """Nodes of one tree, the root first: positions (node, [x, y, z]) in mm, each node's mother, radius in mm."""

    nodes: np.ndarray
    parent: np.ndarray
    radius: np.ndarray


def grow(root: np.ndarray, ends: np.ndarray, leaf_radius_mm: float, balance: float = 0.35) -> Tree:
    """Grow a tree from ``root`` ([x, y, z]) to every one of ``ends`` (end, [x, y, z])."""
    order = np.argsort(np.linalg.norm(ends - root, axis=1), kind="stable")
    nodes = np.vstack([root, ends[order]]).astype(np.float32)
    way = np.zeros(len(nodes), np.float32)
    parent = np.zeros(len(nodes), int)
    for i in range(1, len(nodes)):
        difference = nodes[:i] - nodes[i]
        distance = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        best = int((distance + balance * way[:i]).argmin())
        parent[i], way[i] = best, way[best] + distance[best]
    load = np.ones(len(nodes))
    load[parent[1:]] = 0
    for i in range(len(nodes) - 1, 0, -1):
        load[parent[i]] += load[i]
    return Tree(nodes.astype(float), parent, leaf_radius_mm * np.maximum(load, 1) ** (1 / MURRAY))


def follow(tree: Tree, thicker_mm: float = 0.0, least_radius_mm: float = 0.0) -> Cloud:
    """The tree's branches as curved, tapering tubes; those thinner than ``least_radius_mm`` are left out."""
    child = np.arange(1, len(tree.nodes))
    child = child[tree.radius[child] >= least_radius_mm]
    if len(child) == 0:
        return Cloud(np.zeros((0, 3)), np.zeros(0))
    parent, grandparent = tree.parent[child], tree.parent[tree.parent[child]]
    start, end = tree.nodes[parent], tree.nodes[child]
    span = end - start
    length = np.linalg.norm(span, axis=1)
    before = start - tree.nodes[grandparent]
    before = before / (np.linalg.norm(before, axis=1, keepdims=True) + 1e-6) * length[:, None]
    leave = np.where((parent > 0)[:, None], 0.55 * before + 0.45 * span, span)
    count = np.maximum(2, np.ceil(length / _SAMPLE_MM)).astype(int)
    branch = np.repeat(np.arange(len(child)), count)
    t = (np.arange(len(branch)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[branch]
    t = t[:, None]
    a, b, m0, m1 = start[branch], end[branch], leave[branch], span[branch]
    centre = (2 * t**3 - 3 * t**2 + 1) * a + (t**3 - 2 * t**2 + t) * m0 + (3 * t**2 - 2 * t**3) * b + (t**3 - t**2) * m1
    tangent = 6 * (t**2 - t) * (a - b) + (3 * t**2 - 4 * t + 1) * m0 + (3 * t**2 - 2 * t) * m1
    own, mother = tree.radius[child], np.minimum(tree.radius[parent], 1.35 * tree.radius[child])
    t = t[:, 0]
    radius = own[branch] + (mother - own)[branch] * (1 - t) ** 2 + thicker_mm
    return tubes(centre, tangent, radius, (length / count)[branch])


def scatter(
    thorax: Thorax, side: int, spacing_mm: float, z_range: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Points (point, [x, y, z]) evenly in one lung, about ``spacing_mm`` apart and from its surface.

    ``side`` is -1 for the right lung, +1 for the left.
    """
    box_mm3 = 2.4 * thorax.half_width_mm * thorax.half_depth_mm * (z_range[1] - z_range[0])
    count = int(box_mm3 / spacing_mm**3 / 4)
    width, depth = thorax.half_width_mm, 1.15 * thorax.half_depth_mm
    x = thorax.x_mm + side * rng.uniform(0, 1.05 * width, 4 * count)
    y = thorax.y_mm + rng.uniform(-depth, depth, 4 * count)
    z = rng.uniform(*z_range, 4 * count)
    points = np.column_stack([x, y, z])
    return points[thorax.parts(x, y, z).lung < -0.4 * spacing_mm]


@dataclass(frozen=True)
class LungTrees:
    """Trees in the lungs, as clouds: vessels, airways with their ``wall``, and the airways' ``lumen`` alone."""

    vessels: Cloud
    wall: Cloud
    lumen: Cloud


def grow_lungs(thorax: Thorax, z_range: tuple[float, float], rng: np.random.Generator) -> LungTrees:
    """Arteries, veins and airways of both lungs, with end points within ``z_range`` only."""
    low, high = max(z_range[0] - 12, thorax.base_mm), min(z_range[1] + 12, thorax.apex_mm)
    z_range = (min(low, high - 5), high)
    vessels, wall, lumen = [], [], []
    for side in (-1, 1):

        def at(x: float, y: float, level: float, side: int = side) -> np.ndarray:
            return np.array(
                [
                    thorax.x_mm + side * x * thorax.half_width_mm,
                    thorax.y_mm + y * thorax.half_depth_mm,
                    thorax.z_at(level),
                ]
            )

        ends = scatter(thorax, side, 8.5, z_range, rng)
        artery = grow(at(0.3, 0.06, 0.52), ends, 0.5, 0.6)
        vein = grow(at(0.28, 0.0, 0.445), scatter(thorax, side, 9.5, z_range, rng), 0.5, 0.5)
        vessels += [follow(artery), follow(vein)]
        # airways run beside the arteries
        beside = ends[rng.random(len(ends)) < 0.15] + rng.normal(0, 1.5, 3)
        airway = grow(at(0.29, 0.18, 0.5), beside, 0.5)
        wall.append(follow(airway, 0.75, 0.75))
        lumen.append(follow(airway, 0.0, 0.75))
    return LungTrees(sum(vessels[1:], vessels[0]), sum(wall[1:], wall[0]), sum(lumen[1:], lumen[0]))
