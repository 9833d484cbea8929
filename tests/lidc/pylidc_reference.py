"""Run pylidc itself, in a process of its own: it needs a name that NumPy has dropped since, and pkg_resources.

Run as ``python pylidc_reference.py OUT.npz PATIENT …``: writes pylidc's clusters, masks and diameters.
"""

import sys

import numpy as np

np.int = int

import pylidc  # noqa: E402
from pylidc.utils import consensus  # noqa: E402


def main(out: str, patients: list[str]) -> None:
    arrays = {}
    for patient in patients:
        for scan in pylidc.query(pylidc.Scan).filter(pylidc.Scan.patient_id == patient):
            for cluster in scan.cluster_annotations(verbose=False):
                ids = sorted(int(annotation.id) for annotation in cluster)
                key = "-".join(map(str, ids))
                cluster = sorted(cluster, key=lambda annotation: annotation.id)
                mask, box, masks = consensus(cluster, clevel=0.5)
                arrays[f"{key}/consensus"] = mask
                arrays[f"{key}/masks"] = np.array(masks)
                arrays[f"{key}/start"] = np.array([side.start for side in box])
                arrays[f"{key}/diameters"] = np.array([annotation.diameter for annotation in cluster])
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
