import pydicom

from ctxai.inference.formats.pdf import Pdf

from made_up_readings import marked, outlined, output_of, scan


def test_the_pdf_has_a_page_per_nodule_and_names_no_patient(tmp_path):
    series = scan(tmp_path / "ct")
    Pdf().write_report(output_of(tmp_path, series, [outlined(series), marked(series)]), [])
    dataset = pydicom.dcmread(tmp_path / "dicom" / "pdf" / "nodules.dcm")
    document = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")
    assert b"/Count 2" in document
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert dataset.SeriesDescription == "Nodule report (PDF) - research use only"
