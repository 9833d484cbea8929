"""Facts of explanation methods, from their classes: the head of every card, and the table of all methods.

``.venv/bin/python docs/method_facts.py`` writes the heads of the cards in ``docs/methods``; a test compares them. The
table is made when the site is built.
"""

from __future__ import annotations

import csv
import inspect
import re
from pathlib import Path

import docstring_parser

from ctxai.explain import get_method, list_methods
from ctxai.explain.base import Attribution
from ctxai.files import write_text

FOLDER = Path(__file__).parent / "methods"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
FACTS = re.compile(r"<!-- facts -->\n.*<!-- end of facts -->", re.DOTALL)
_NEEDS = {
    "attention": "its attention",
    "gradients": "its gradients",
    "training": "training of its own, once for every run",
}


def own_methods() -> list[str]:
    """The names of the methods that come with the package."""
    return [name for name in list_methods() if get_method(name).__module__.startswith("ctxai.")]


def table() -> str:
    """Table of all methods, each with a link to its card and the question that the card begins with."""
    lines = [
        "| name | question | signed | class specific | one value per | needs | cost |",
        "|---|---|---|---|---|---|---|",
    ]
    measured = _costs()
    for name in own_methods():
        method = get_method(name)
        cells = [f"[`{name}`]({name}.md)", _question(name), _yes(method.signed), _yes(method.class_specific)]
        cells += [method.resolution, ", ".join(sorted(method.needs)) or "–", measured.get(method.__name__, "–")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _question(name: str) -> str:
    """First paragraph of a method's card."""
    _, paragraph, *_ = (FOLDER / f"{name}.md").read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraph.split())


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _costs() -> dict[str, str]:
    """Forward passes for one target on the ViT-S/16, by class name."""
    with (RESULTS / "explain.csv").open(encoding="utf-8") as file:
        measured = [row for row in csv.DictReader(file) if row["model"] == "vit_small_patch16_224"]
    return {row["method"].split(",")[0]: row["forward_passes"] for row in measured if "targets" not in row["method"]}


def facts(name: str) -> str:
    """The tables of a method's card, between their marks."""
    method = get_method(name)
    needs = ", ".join(_NEEDS[need] for need in sorted(method.needs))
    rows = {
        "name, class": f"`{name}`, `ctxai.explain.{method.__qualname__}`",
        "signed": _sign(method),
        "class specific": "yes" if method.class_specific else "no: one map for all targets",
        "one value per": f"{method.resolution}; made larger by {method.upsampling} interpolation",
        "of the model it needs": needs or "its outputs alone",
        "reference": _link(method.reference),
        "benchmark": f"{_measured(name)} ([figures](../benchmarks.md))",
    }
    lines = ["<!-- facts -->", "| | |", "|---|---|"]
    lines += [f"| {what} | {fact} |" for what, fact in rows.items()]
    options = _options(method)
    if options:
        lines += ["", "| option | default | what it is |", "|---|---|---|", *options]
    return "\n".join([*lines, "<!-- end of facts -->"])


def _sign(method: type[Attribution]) -> str:
    if method.signed:
        return "yes: below 0 is evidence against the target"
    return "no: evidence for the target alone" if method.class_specific else "no: how much, not in which direction"


def _options(method: type[Attribution]) -> list[str]:
    explained = {one.arg_name: one.description for one in docstring_parser.parse(inspect.getdoc(method)).params}
    parameters = list(inspect.signature(method.__init__).parameters.values())[2:]
    plain = {name: re.sub(r":\w+:(`\w+`)", r"\1", " ".join(text.split())) for name, text in explained.items()}
    return [f"| `{one.name}` | `{one.default!r}` | {plain[one.name]} |" for one in parameters]


def _link(reference: str) -> str:
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", reference)


def _measured(name: str) -> str:
    on = [kind for kind in ("real", "planted") if name in _methods_of(RESULTS / f"explanations_{kind}_results.csv")]
    said = {"real": "real nodules", "planted": "planted truth"}
    return f"measured on {' and '.join(said[kind] for kind in on)}" if on else "not measured"


def _methods_of(path: Path) -> set[str]:
    with path.open(encoding="utf-8") as file:
        return {row["method"] for row in csv.DictReader(file)}


def main() -> None:
    """Write the facts into every card."""
    for name in own_methods():
        card = FOLDER / f"{name}.md"
        write_text(card, FACTS.sub(lambda _, name=name: facts(name), card.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
