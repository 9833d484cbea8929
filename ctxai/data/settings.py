"""Settings of views, augmentation, folds and multi-crop: plain dataclasses, importable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

_MOST_MONITORED = 0.5
VIEWS = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class ViewConfig:
    """Which images of a nodule a run was trained for; stored with the run.

    Args:
        views: any of axial, coronal, sagittal.
        field_of_view_mm: side of the square that an image covers, centred on the patch centre.
        pixels: side of the image in pixels. On the command line it follows a given backbone (what its published
            weights are for) where it is not given.
        hu_window: Hounsfield units that are clamped to, lower and upper; the lower one is air.
        mean: mean of the clamped HU; training sets it from the training fold.
        std: standard deviation of the clamped HU; training sets it from the training fold.
        slice_offsets_mm: slices along the view's normal that a prediction averages over, from the patch centre.
        recentre_mm: how far the images of a prediction are moved at most from the mark to the middle of the outline
            that the run itself sees there (``heads.outline``); 0 leaves them on the mark.
        turns: how many of an image's eight quarter turns and mirror images a prediction averages over: 1 or 8.
        beyond: what images show where a patch ends or was not scanned: air, or the nearest voxel.
    """

    views: tuple[str, ...] = VIEWS
    field_of_view_mm: float = 32.0
    pixels: int = 64
    hu_window: tuple[float, float] = (-1000.0, 400.0)
    mean: float = -600.0
    std: float = 400.0
    slice_offsets_mm: tuple[float, ...] = (0.0,)
    beyond: Literal["air", "nearest"] = "air"
    recentre_mm: float = 0.0
    turns: Literal[1, 8] = 1

    def __post_init__(self) -> None:
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown or not self.views:
            meant = did_you_mean(unknown[0], VIEWS) if unknown else ""
            raise InputError(f"views: expected some of {', '.join(VIEWS)}, found {', '.join(unknown) or 'none'}{meant}")
        if self.field_of_view_mm <= 0 or self.pixels < 1 or self.std <= 0:
            raise InputError("views: field_of_view_mm, pixels and std have to be positive")
        if self.hu_window[0] >= self.hu_window[1]:
            raise InputError(f"views: hu_window has to rise, found {self.hu_window}")
        if not self.slice_offsets_mm:
            raise InputError("views: slice_offsets_mm needs at least one offset, 0 for the centre slice")


@dataclass(frozen=True)
class VolumeConfig:
    """Changes in three dimensions; all limits 0, the default, leave the patch as it is.

    They cost tens of milliseconds a patch: give the loader workers. The plane's own changes (`AugmentConfig`) come on
    top and are far cheaper; what only these can do is shear, stretch along one axis, and blur across slices.

    Args:
        probability: of each kind of change.
        rotation_deg: rotation about each axis, up to this angle either way.
        shear: largest shear factor.
        scale: relative change of size along each axis by itself.
        shift_mm: displacement along each axis.
        blur_mm: largest standard deviation of a Gaussian blur along each axis, as of a softer kernel or thicker slices.
        noise_hu: largest standard deviation of Gaussian noise.
    """

    probability: float = 0.5
    rotation_deg: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift_mm: float = 0.0
    blur_mm: float = 0.0
    noise_hu: float = 0.0

    @property
    def geometry(self) -> bool:
        """Whether voxels may move."""
        return max(self.rotation_deg, self.shear, self.scale, self.shift_mm) > 0

    @property
    def active(self) -> bool:
        """Whether anything may change."""
        return self.geometry or max(self.blur_mm, self.noise_hu) > 0


@dataclass(frozen=True)
class EraseConfig:
    """Parts removed from training images, in blocks or blobs, as tests of explanations remove them.

    Args:
        share: of the images that lose parts; 0 switches it off.
        most: largest part of an image that is removed.
        fills: what stands in its place, drawn for each image: lung, the mean of the image's aerated lung; or blur, the
            image blurred by 6 mm.
        grounded: move the readers' shares of malignancy towards their mean over the training nodules by the share of
            the outline that is removed, so that evidence is learnt from the nodule and not from what surrounds it.
            Ordinal and auxiliary heads learn from these shares.
    """

    share: float = 0.0
    most: float = 0.5
    fills: tuple[Literal["lung", "blur"], ...] = ("lung", "blur")
    grounded: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.most <= 1) or not self.fills:
            raise InputError("augment.erase: share and most have to be from 0 to 1, and fills needs one")


@dataclass(frozen=True)
class AugmentConfig:
    """How far a training image may differ from the nodule as it is; 0 switches a change off.

    Geometry is changed in the frame of the view, so that a coronal image stays a coronal one.

    Args:
        turns: any of the four quarter turns in the plane.
        rotation_deg: further rotation in the plane, up to this angle either way.
        tilt_deg: rotation out of the plane, up to this angle about each of its axes.
        scale: relative change of size, kept small because size is a sign of malignancy.
        shift_mm: displacement in the plane.
        slice_fraction: slices are drawn up to this part of the nodule's radius from its centre.
        noise_hu: largest standard deviation of Gaussian noise.
        level_hu: displacement of all HU.
        contrast: relative change of the distance to the window's centre.
        mirror: with turns, their mirror images too.
        slice_steps: draw instead one of the slices this many whole millimetres either side of the centre, and the
            centre; 0 for none.
        volume: changes of the whole patch, made by MONAI before the plane is cut.
        far_shift_mm: largest displacement in the plane, in any direction, of the images of ``far_share``, in place of
            ``shift_mm``: marks that lie beside the nodule's centre.
        far_share: part of the images that are displaced so far.
        erase: parts of the image removed.
    """

    turns: bool = True
    rotation_deg: float = 15.0
    tilt_deg: float = 10.0
    scale: float = 0.05
    shift_mm: float = 1.5
    slice_fraction: float = 0.5
    noise_hu: float = 30.0
    level_hu: float = 30.0
    contrast: float = 0.05
    mirror: bool = True
    slice_steps: int = 0
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    far_shift_mm: float = 0.0
    far_share: float = 0.0
    erase: EraseConfig = field(default_factory=EraseConfig)


LabelKind = Literal["soft", "hard", "rating"]


@dataclass(frozen=True)
class FoldConfig:
    """Which nodules are trained on, calibrated on and tested on.

    Args:
        test: fold that nothing is learnt from or selected by; all trains one network for each fold in turn, and the
            run is their ensemble.
        validation: fold that calibration is fitted on, once, after training. Nothing is selected by it.
        min_readers: readers a nodule needs to be calibrated or tested on (LIDC-IDRI studies use 3 of 4).
        training_min_readers: readers a nodule needs to be trained on.
        unit: patient refuses folds that cut a patient in two. nodule accepts them, to set figures beside published
            ones of the same kind (a store ingested with the cohort conrad has such folds); they are too good.
        monitor: share of the training patients that is not learnt from, but measured after every epoch; with
            optim.patience they select the epoch, so that the validation fold stays unseen until calibration.
    """

    test: int | Literal["all"] = 0
    validation: int = 1
    min_readers: int = 3
    training_min_readers: int = 3
    unit: Literal["patient", "nodule"] = "patient"
    monitor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.monitor <= _MOST_MONITORED:
            raise InputError(f"folds: monitor is {self.monitor:g}, expected 0 to {_MOST_MONITORED:g}")


@dataclass(frozen=True)
class MultiCropConfig:
    """How far the crops of one patch may differ; 0 switches a change off.

    Args:
        local_crops: small crops of every patch, beside the two global ones.
        local_field_of_view_mm: side of a local crop; its pixels are as large as those of the global crops.
        global_shift_mm: displacement of global crops in the plane, up to this distance along either axis.
        local_shift_mm: the same of local crops.
        turns: any of the eight quarter turns and mirror images in the plane.
        rotation_deg: further rotation in the plane, up to this angle either way.
        tilt_deg: rotation out of the plane, up to this angle about each of its axes; not of single slices.
        offset_mm: displacement along the plane's normal, up to this distance either way; not of single slices.
        window_shift_hu: the lower and the upper end of the HU window move up to so far either way.
        noise_hu: largest standard deviation of Gaussian noise.
        blur_mm: largest standard deviation of a Gaussian blur.
    """

    local_crops: int = 4
    local_field_of_view_mm: float = 16.0
    global_shift_mm: float = 3.0
    local_shift_mm: float = 8.0
    turns: bool = True
    rotation_deg: float = 15.0
    tilt_deg: float = 10.0
    offset_mm: float = 2.0
    window_shift_hu: tuple[float, float] = (50.0, 150.0)
    noise_hu: float = 60.0
    blur_mm: float = 0.7

    def local_views(self, views: ViewConfig) -> ViewConfig:
        """The local crops' field of view and pixels, at the millimetres per pixel of ``views``.

        Raises:
            InputError: when the local field of view is not smaller, or no whole number of pixels.
        """
        pixels = self.local_field_of_view_mm * views.pixels / views.field_of_view_mm
        if not 0 < self.local_field_of_view_mm <= views.field_of_view_mm or not math.isclose(pixels, round(pixels)):
            raise InputError(
                f"crops.local_field_of_view_mm: expected at most {views.field_of_view_mm:g} mm and a whole number of "
                f"pixels of {views.field_of_view_mm / views.pixels:g} mm, found {self.local_field_of_view_mm:g} mm"
            )
        return replace(views, field_of_view_mm=self.local_field_of_view_mm, pixels=round(pixels))
