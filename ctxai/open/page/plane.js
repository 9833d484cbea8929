// One plane of a CT on a canvas: the slice, the map, outlines and marks. Positions are indices of the turned volume,
// [superior, posterior, left]; on the screen x runs along `across`, y along `down` (upwards for slices).

const AXES = { axial: [0, 1, 2], coronal: [1, 0, 2], sagittal: [2, 0, 1] }; // cut across, down, across
const EDGES = { axial: ["A", "P", "R", "L"], coronal: ["S", "I", "R", "L"], sagittal: ["S", "I", "A", "P"] };
const NOT_TURNED = 0.97; // cosine between the scan's axes and the patient's below which letters are marked "≈"

export class Plane {
  constructor(canvas, name) {
    this.canvas = canvas;
    this.name = name;
    [this.cut, this.down, this.across] = AXES[name];
    this.zoom = 1;
    this.slice = document.createElement("canvas");
    this.layer = document.createElement("canvas");
  }

  // Upright: the first row on the screen is the most superior one.
  get upright() { return this.name !== "axial"; }

  // Scale and shift from (across, down) indices to pixels of the canvas.
  frame(volume, at) {
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const [w, h] = [volume.shape[this.across], volume.shape[this.down]];
    const [dx, dy] = [volume.steps[this.across], volume.steps[this.down]];
    const scale = Math.min(width / (w * dx), height / (h * dy)) * this.zoom;
    const row = this.upright ? h - 1 - at[this.down] : at[this.down];
    const place = (size, index, count, step) => {
      const whole = count * step * scale;
      const middle = size / 2 - (index + 0.5) * step * scale;
      return whole <= size ? (size - whole) / 2 : Math.min(0, Math.max(size - whole, middle));
    };
    return { sx: dx * scale, sy: dy * scale, x: place(width, at[this.across], w, dx), y: place(height, row, h, dy), w, h, ratio };
  }

  toScreen(frame, index) {
    const row = this.upright ? frame.h - 1 - index[this.down] : index[this.down];
    return [frame.x + (index[this.across] + 0.5) * frame.sx, frame.y + (row + 0.5) * frame.sy];
  }

  // Move an index by pixels of the screen, within the CT.
  stepOnScreen(volume, index, right, up) {
    const { sx, sy, ratio } = this.frame(volume, index);
    for (const [axis, by] of [[this.across, (right * ratio) / sx], [this.down, ((this.upright ? up : -up) * ratio) / sy]]) {
      index[axis] = Math.max(0, Math.min(volume.shape[axis] - 1, index[axis] + by));
    }
  }

  // Index under a pointer; null outside of the CT.
  fromEvent(event, volume, at) {
    const frame = this.frame(volume, at);
    const box = this.canvas.getBoundingClientRect();
    const column = ((event.clientX - box.left) * frame.ratio - frame.x) / frame.sx - 0.5;
    const row = ((event.clientY - box.top) * frame.ratio - frame.y) / frame.sy - 0.5;
    const found = [...at];
    found[this.across] = column;
    found[this.down] = this.upright ? frame.h - 1 - row : row;
    const inside = found.every((value, axis) => value > -0.5 && value < volume.shape[axis] - 0.5);
    return inside ? found : null;
  }

  // scene: {volume, at, cross, hu, window: [low, high], map, lines, diameter, marks, selected}
  draw(scene) {
    const { volume, at, hu } = scene;
    const frame = this.frame(volume, at);
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (hu) {
      this.paintSlice(hu, frame, scene.window);
      context.imageSmoothingEnabled = true;
      context.drawImage(this.slice, frame.x, frame.y, frame.w * frame.sx, frame.h * frame.sy);
    }
    if (scene.map) this.drawMap(context, frame, scene.map, Math.round(at[this.cut]));
    this.drawLines(context, frame, scene);
    this.drawMarks(context, frame, scene);
    if (scene.cross) this.drawCross(context, frame, at);
    this.drawLetters(context, volume);
  }

  paintSlice(hu, frame, [low, high]) {
    Object.assign(this.slice, { width: frame.w, height: frame.h });
    const context = this.slice.getContext("2d");
    const image = context.createImageData(frame.w, frame.h);
    const pixels = new Uint32Array(image.data.buffer);
    const factor = 255 / (high - low);
    for (let i = 0; i < hu.length; i++) {
      const grey = Math.max(0, Math.min(255, (hu[i] - low) * factor)) | 0;
      pixels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    context.putImageData(image, 0, 0);
  }

  drawMap(context, frame, map, number) {
    const size = map.shape;
    const k = number - map.start[this.cut];
    if (k < 0 || k >= size[this.cut]) return;
    const [w, h] = [size[this.across], size[this.down]];
    Object.assign(this.layer, { width: w, height: h });
    const on = this.layer.getContext("2d");
    const image = on.createImageData(w, h);
    const strides = [size[1] * size[2], size[2], 1];
    for (let row = 0; row < h; row++) {
      const y = this.upright ? h - 1 - row : row;
      for (let column = 0; column < w; column++) {
        const share = map.values[k * strides[this.cut] + y * strides[this.down] + column * strides[this.across]] / map.scale;
        if (Math.abs(share) < 0.05) continue;
        const place = 4 * (row * w + column);
        image.data.set(share > 0 ? [255, Math.round(200 * (1 - share)), 0] : [70, 150, 255], place);
        image.data[place + 3] = Math.round(210 * Math.sqrt(Math.min(1, Math.abs(share))));
      }
    }
    on.putImageData(image, 0, 0);
    const top = this.upright ? frame.h - map.start[this.down] - h : map.start[this.down];
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer, frame.x + map.start[this.across] * frame.sx, frame.y + top * frame.sy, w * frame.sx, h * frame.sy);
  }

  drawLines(context, frame, scene) {
    const near = (line) => Math.abs(line[0][this.cut] - scene.at[this.cut]) <= 0.75;
    context.lineWidth = 1.5 * frame.ratio;
    context.strokeStyle = "#50e07f";
    for (const line of (scene.lines[this.name] || []).filter(near)) {
      context.beginPath();
      line.forEach((index) => context.lineTo(...this.toScreen(frame, index)));
      context.stroke();
    }
    if (this.name === "axial" && scene.diameter && near(scene.diameter)) {
      context.setLineDash([4 * frame.ratio, 3 * frame.ratio]);
      context.beginPath();
      scene.diameter.forEach((index) => context.lineTo(...this.toScreen(frame, index)));
      context.stroke();
      context.setLineDash([]);
    }
  }

  drawMarks(context, frame, scene) {
    for (const mark of scene.marks) {
      const away = Math.abs(mark.index[this.cut] - scene.at[this.cut]) * scene.volume.steps[this.cut];
      const chosen = mark === scene.selected;
      if (mark.state === "rejected" || away > (chosen ? 1e9 : 8)) continue;
      const [x, y] = this.toScreen(frame, mark.index);
      const reach = (chosen ? 9 : 6) * frame.ratio;
      context.globalAlpha = away > scene.volume.steps[this.cut] / 2 + 0.01 ? 0.45 : 1;
      context.strokeStyle = mark.state === "proposed" ? "#ffd54a" : "#ff5cf0";
      context.lineWidth = (chosen ? 2 : 1.2) * frame.ratio;
      context.beginPath();
      for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + a * reach * 0.4, y + b * reach * 0.4);
        context.lineTo(x + a * reach, y + b * reach);
      }
      context.stroke();
      context.globalAlpha = 1;
    }
    if (scene.middle && Math.abs(scene.middle[this.cut] - scene.at[this.cut]) * scene.volume.steps[this.cut] < 8) {
      const [x, y] = this.toScreen(frame, scene.middle);
      context.fillStyle = "#50e07f";
      context.beginPath();
      context.arc(x, y, 2.5 * frame.ratio, 0, 7);
      context.fill();
    }
  }

  // Two lines through the whole plane, open where they meet; dark below, so that they are seen on white and black.
  drawCross(context, frame, at) {
    const [x, y] = this.toScreen(frame, at);
    const [width, height, gap] = [this.canvas.width, this.canvas.height, 8 * frame.ratio];
    for (const [style, wide] of [["#000", 3], ["#8ab8f0", 1]]) {
      context.strokeStyle = style;
      context.lineWidth = wide * frame.ratio;
      context.beginPath();
      for (const [from, to] of [[[0, y], [x - gap, y]], [[x + gap, y], [width, y]], [[x, 0], [x, y - gap]], [[x, y + gap], [x, height]]]) {
        context.moveTo(...from);
        context.lineTo(...to);
      }
      context.stroke();
    }
  }

  drawLetters(context, volume) {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [this.canvas.width, this.canvas.height];
    const turned = volume.cosines.some((value) => value < NOT_TURNED) ? "≈" : "";
    const [top, bottom, left, right] = EDGES[this.name].map((letter) => turned + letter);
    context.font = `bold ${14 * ratio}px system-ui, sans-serif`;
    const places = [[top, "center", w / 2, 17 * ratio], [bottom, "center", w / 2, h - 6 * ratio], [left, "left", 5 * ratio, h / 2], [right, "right", w - 5 * ratio, h / 2]];
    context.strokeStyle = "#000";
    context.fillStyle = "#f5f5b0";
    context.lineWidth = 3 * ratio;
    for (const [letter, align, x, y] of places) {
      context.textAlign = align;
      context.strokeText(letter, x, y);
      context.fillText(letter, x, y);
    }
  }
}
