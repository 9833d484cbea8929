"""Good inputs of every stage, for a fault to break."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom

from ctxai.ct.dicom_errors import without_warnings

from cohorts import sphere_store
from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((12, 32, 40), (0.7, 0.8, 2.5))
#: What no message and no file beside DICOM may hold.
SECRET = "SECRET^PATIENT"


@dataclass
class Inputs:
    """Good inputs of every stage in one folder, for a fault to break."""

    folder: Path
    points: Path = field(init=False)
    given: str = "ct"
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points = self.folder / "points.csv"

    @property
    def ct(self) -> Path:
        return self.folder / "ct"

    @property
    def images(self) -> list[Path]:
        return sorted(self.ct.glob("0*.dcm"))

    @without_warnings()
    def edit(self, *numbers: int, **attributes: object) -> None:
        """Change attributes of some images (all without a number), without a word from pydicom."""
        for path in [self.images[number] for number in numbers] or self.images:
            dataset = pydicom.dcmread(path)
            for keyword, value in attributes.items():
                if value is None:
                    dataset.pop(keyword, None)
                else:
                    element = pydicom.DataElement(
                        pydicom.datadict.tag_for_keyword(keyword),
                        pydicom.datadict.dictionary_VR(keyword),
                        value,
                        validation_mode=pydicom.config.IGNORE,
                    )
                    dataset[element.tag] = element
            dataset.save_as(path)

    def command(self, stage: str, out: Path) -> list[str]:
        """The stage's command line on these inputs."""
        given = str(self.folder / self.given)
        if stage == "ingest":
            source = [] if "--xml" in self.options else ["--points", str(self.points)]
            return ["ingest", given, str(out), *source, *self.options]
        if stage == "explain":
            run = str(self.folder / "run")
            formats = [] if "--formats" in self.options else ["--formats", "nifti"]
            return [
                *("explain", given, str(out), "--run", run, "--points", str(self.points), "--no-trust"),
                *("--views", "axial", *formats, *self.options),
            ]
        if stage == "verify":
            return ["verify", "--store", str(self.folder / "store")]
        weights = ["--backbone.weights", str(self.folder / self.given)]
        return [
            "train",
            str(self.folder / "store"),
            str(out),
            "--backbone.depth",
            "1",
            "--views.views",
            '["axial"]',
            *weights,
        ]


def make_inputs(folder: Path) -> Inputs:
    """A good series of 12 slices with one point, a run and a store."""
    hu = np.random.default_rng(0).integers(-1000, 400, GRID.shape).astype(np.int16)
    write_ct(folder / "ct", hu, GRID, attributes={"PatientName": SECRET, "PatientID": SECRET})
    (folder / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*GRID.centre))
    untrained_run().save(folder / "run")
    sphere_store(folder / "store", 10, depth=1)
    return Inputs(folder)
