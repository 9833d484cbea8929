"""Streams of content between runs of zeros, against zlib and gzip."""

import gzip
import io
import zlib

import pytest

from ctxai.export.streams import DeflateStream, GzipStream, PlainStream

RUNS = [b"head", 0, 5, b"a" * 9000, 4095, b"b", 4096, 3 * 2**20 + 123457, bytes(range(256)) * 40, 2**20]


def written(stream_class, runs):
    file = io.BytesIO()
    stream = stream_class(file)
    for run in runs:
        if isinstance(run, int):
            stream.write_zeros(run)
        else:
            stream.write(run)
    stream.close()
    return file.getvalue()


@pytest.mark.parametrize("runs", [RUNS, RUNS[::-1], [2**20], [b""], []])
def test_what_is_read_back_is_what_was_written(runs):
    expected = b"".join(bytes(run) for run in runs)
    assert written(PlainStream, runs) == expected
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    assert inflater.decompress(written(DeflateStream, runs)) + inflater.flush() == expected
    assert inflater.eof
    assert gzip.decompress(written(GzipStream, runs)) == expected


def test_zeros_cost_a_thousandth_of_their_length():
    assert len(written(DeflateStream, [b"head", 2**28, b"tail"])) < 2**28 / 900
