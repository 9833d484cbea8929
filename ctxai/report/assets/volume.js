"use strict";
// Small NIfTI-1 files that lie in the page as base64 of gzip, and what is drawn of them.

const INT16 = 4, UINT8 = 2, FLOAT32 = 16;

/** Bytes of a base64 text. */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** What a base64 text of gzip holds, as an ArrayBuffer. */
async function inflate(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** A volume {shape: [slices, rows, columns], values} with axes (superior, posterior, left); little-endian NIfTI-1. */
async function readVolume(base64) {
  const buffer = await inflate(base64);
  const header = new DataView(buffer);
  const kind = { [UINT8]: Uint8Array, [INT16]: Int16Array, [FLOAT32]: Float32Array }[header.getInt16(70, true)];
  if (header.getInt32(0, true) !== 348 || kind === undefined) throw new Error("not a NIfTI-1 file of this report");
  const [columns, rows, slices] = [42, 44, 46].map((place) => header.getInt16(place, true));
  const start = header.getFloat32(108, true);
  return { shape: [slices, rows, columns], values: new kind(buffer, start, slices * rows * columns) };
}

/** The magnitude that is drawn in the strongest colour: 99 % of the magnitudes other than 0 are at most that. */
function colourScaleOf(volume) {
  const magnitudes = volume.values.filter((value) => value !== 0).map(Math.abs).sort();
  return magnitudes.length ? magnitudes[Math.floor(0.99 * (magnitudes.length - 1))] : 1;
}

// How each plane is looked at: patch axes (0 superior, 1 posterior, 2 left) of its normal, rows and columns; whether
// the rows run upwards; letters at the top, bottom, left and right.
const PLANES = {
  axial: { normal: 0, rows: 1, columns: 2, upwards: false, letters: "APRL", minus: "feet", plus: "head" },
  coronal: { normal: 1, rows: 0, columns: 2, upwards: true, letters: "HFRL", minus: "front", plus: "back" },
  sagittal: { normal: 2, rows: 0, columns: 1, upwards: true, letters: "HFAP", minus: "right", plus: "left" },
};

/** One slice of a plane as {side, at(row, column)} in screen order; `field` voxels around the middle. */
function sliceOf(volume, plane, index, field) {
  const { shape, values } = volume;
  const strides = [shape[1] * shape[2], shape[2], 1];
  const rows = Math.min(field, shape[plane.rows]);
  const columns = Math.min(field, shape[plane.columns]);
  const firstRow = (shape[plane.rows] - rows) >> 1;
  const firstColumn = (shape[plane.columns] - columns) >> 1;
  const base = index * strides[plane.normal];
  const at = (row, column) => {
    const along = plane.upwards ? firstRow + rows - 1 - row : firstRow + row;
    return values[base + along * strides[plane.rows] + (firstColumn + column) * strides[plane.columns]];
  };
  return { rows, columns, firstRow, firstColumn, at };
}

/** A canvas with one pixel per voxel; `paint(row, column)` gives [r, g, b, a]. */
function raster(rows, columns, paint) {
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i += 4) image.data.set(paint(row, column), i);
  context.putImageData(image, 0, 0);
  return canvas;
}
