"use strict";
// One plane of a nodule on its canvas: CT, map, outline, crosshair, letters, scale bar.

const OUTLINE = "#50ff78", FOR_LINE = "#c81e00", AGAINST_LINE = "#0038d0";
const LINE_SHARE = 0.5;
const WEAKEST_SHARE = 0.1;
const SCALE_BAR_MM = 10;

class PlaneView {
  /** `viewer` holds what is shown: volumes, cursor, window, opacity, field. */
  constructor(canvas, viewer) {
    this.canvas = canvas;
    this.viewer = viewer;
    this.name = canvas.dataset.plane ?? canvas.dataset.compare;
    this.plane = PLANES[this.name];
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.onPointer(event));
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && this.onPointer(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** The map of this row and the scale of its colours. */
  get shown() {
    const { map, scale, second, secondScale } = this.viewer;
    return this.canvas.dataset.compare ? { map: second, scale: secondScale } : { map, scale };
  }

  get index() {
    return this.viewer.cursor[this.plane.normal];
  }

  onKey(event) {
    if (!this.viewer.ct) return;
    const last = this.viewer.ct.shape[this.plane.normal] - 1;
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 };
    const target = { Home: 0, End: last }[event.key] ?? this.index + (steps[event.key] ?? NaN);
    if (Number.isNaN(target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.viewer.moveTo(this.plane.normal, target);
  }

  onWheel(event) {
    if (document.activeElement !== this.canvas || event.ctrlKey) return; // else the page scrolls
    event.preventDefault();
    this.viewer.moveTo(this.plane.normal, this.index - Math.sign(event.deltaY));
  }

  onPointer(event) {
    if (!this.viewer.ct) return;
    const { rows, columns, firstRow, firstColumn } = sliceOf(this.viewer.ct, this.plane, this.index, this.viewer.field);
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const along = this.plane.upwards ? firstRow + rows - 1 - row : firstRow + row;
    this.viewer.moveTo(this.plane.rows, along, this.plane.columns, firstColumn + column);
  }

  draw() {
    const { ct, readers, field } = this.viewer;
    const { map, scale } = this.shown;
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!ct || side === 0) return;
    this.canvas.width = this.canvas.height = side;
    const context = this.canvas.getContext("2d");
    const grey = sliceOf(ct, this.plane, this.index, field);
    const [low, high] = this.viewer.window;
    const shade = (hu) => Math.max(0, Math.min(255, ((hu - low) / (high - low)) * 255));
    context.imageSmoothingQuality = "high";
    context.drawImage(
      raster(grey.rows, grey.columns, (row, column) => {
        const value = shade(grey.at(row, column));
        return [value, value, value, 255];
      }), 0, 0, side, side);
    if (map && this.viewer.opacity > 0) {
      const heat = sliceOf(map, this.plane, this.index, field);
      context.imageSmoothingEnabled = false; // a map's own voxels, not a smoothness that it does not have
      const paint = (row, column) => evidenceColour(heat.at(row, column) / scale, this.viewer.opacity);
      context.drawImage(raster(heat.rows, heat.columns, paint), 0, 0, side, side);
      context.imageSmoothingEnabled = true;
      // Lines survive where colour does not: on white, in print, and for eyes that do not tell red from blue apart.
      this.drawOutline(context, heat, side, (value) => value / scale >= LINE_SHARE, FOR_LINE, 1);
      this.drawOutline(context, heat, side, (value) => value / scale <= -LINE_SHARE, AGAINST_LINE, 1, [4, 3]);
    }
    if (readers && this.viewer.outline) {
      const mask = sliceOf(readers, this.plane, this.index, field);
      this.drawOutline(context, mask, side, (value) => value > 0, OUTLINE, 1.5);
    }
    this.drawMarks(context, grey, side);
    this.describe();
  }

  drawOutline(context, mask, side, holds, colour, width_px, dash = []) {
    const inside = (row, column) =>
      row >= 0 && column >= 0 && row < mask.rows && column < mask.columns && holds(mask.at(row, column));
    const [height, width] = [side / mask.rows, side / mask.columns];
    const path = new Path2D();
    for (let row = 0; row <= mask.rows; row++)
      for (let column = 0; column <= mask.columns; column++) {
        const here = inside(row, column);
        if (here !== inside(row - 1, column)) {
          path.moveTo(column * width, row * height);
          path.lineTo((column + 1) * width, row * height);
        }
        if (here !== inside(row, column - 1)) {
          path.moveTo(column * width, row * height);
          path.lineTo(column * width, (row + 1) * height);
        }
      }
    context.setLineDash(dash.map((length) => length * devicePixelRatio));
    context.strokeStyle = colour;
    context.lineWidth = width_px * devicePixelRatio;
    context.stroke(path);
    context.setLineDash([]);
  }

  drawMarks(context, grey, side) {
    const unit = devicePixelRatio;
    const { cursor, ct } = this.viewer;
    const column = ((cursor[this.plane.columns] - grey.firstColumn + 0.5) / grey.columns) * side;
    const fromFirst = (cursor[this.plane.rows] - grey.firstRow + 0.5) / grey.rows;
    const row = (this.plane.upwards ? 1 - fromFirst : fromFirst) * side;
    const gap = 12 * unit;
    context.strokeStyle = "rgb(255 255 255 / 45%)";
    context.lineWidth = unit;
    const line = (x0, y0, x1, y1) => {
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    };
    line(0, row, Math.max(column - gap, 0), row);
    line(Math.min(column + gap, side), row, side, row);
    line(column, 0, column, Math.max(row - gap, 0));
    line(column, Math.min(row + gap, side), column, side);
    const narrow = side < 240 * unit;
    context.font = `600 ${(narrow ? 11 : 13) * unit}px system-ui, sans-serif`;
    context.lineWidth = 3 * unit;
    context.strokeStyle = "rgb(0 0 0 / 80%)";
    context.fillStyle = "#fff";
    const label = (text, x, y, align, baseline) => {
      Object.assign(context, { textAlign: align, textBaseline: baseline });
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };
    const [top, bottom, left, right] = this.plane.letters;
    const margin = 6 * unit;
    label(top, side / 2, margin, "center", "top");
    label(bottom, side / 2, side - margin, "center", "bottom");
    label(left, margin, side / 2, "left", "middle");
    label(right, side - margin, side / 2, "right", "middle");
    const offset = this.index - (ct.shape[this.plane.normal] >> 1);
    const image = this.name === "axial" ? this.viewer.data.numbers[this.index] : undefined;
    const lineHeight = (narrow ? 13 : 16) * unit; // two lines, so that the letter at the top has its place
    label(image === undefined || image === null ? this.name : `${this.name}, image ${image}`, margin, margin, "left", "top");
    label(`${signed(offset)} mm`, margin, margin + lineHeight, "left", "top");
    const bar = (SCALE_BAR_MM / grey.columns) * side;
    context.fillRect(side - margin - bar, side - margin - 2 * unit, bar, 2 * unit);
    label(`${SCALE_BAR_MM} mm`, side - margin, side - margin - 5 * unit, "right", "bottom");
  }

  describe() {
    const offset = this.index - (this.viewer.ct.shape[this.plane.normal] >> 1);
    const towards = offset < 0 ? this.plane.minus : this.plane.plus;
    this.canvas.setAttribute("aria-valuemax", this.viewer.ct.shape[this.plane.normal] - 1);
    this.canvas.setAttribute("aria-valuenow", this.index);
    this.canvas.setAttribute("aria-valuetext", `${Math.abs(offset)} mm from the middle towards the ${towards}`);
  }
}

/** Colour [r, g, b, a] of evidence as a share of its scale; weak evidence is transparent. */
function evidenceColour(share, opacity) {
  const strength = Math.min(Math.abs(share), 1);
  if (!(strength > WEAKEST_SHARE)) return [0, 0, 0, 0];
  const [r, g, b] = (share > 0 ? PAGE.colours.for : PAGE.colours.against)[Math.round(strength * 255)];
  return [r, g, b, Math.sqrt(strength) * opacity * 255];
}

function signed(number) {
  return number === 0 ? "0" : `${number < 0 ? "−" : "+"}${Math.abs(number)}`;
}
