// A CT as the server has it: planes fetched when they are looked at, and the way between indices and LPS millimetres.

const KEPT = 400;

export class Volume {
  constructor(key, described) {
    this.key = key;
    this.shape = described.shape; // [superior, posterior, left]
    this.affine = described.affine; // (left, posterior, superior index, 1) -> LPS mm
    this.steps = [...described.spacing].reverse(); // mm along [superior, posterior, left]
    this.inverse = inverted(this.affine);
    this.cosines = [0, 1, 2].map((axis) => Math.abs(this.affine[axis][axis]) / described.spacing[axis]);
    this.planes = new Map();
    this.asked = new Set();
    this.whole = false;
  }

  toLps([s, p, l]) {
    return this.affine.slice(0, 3).map((row) => row[0] * l + row[1] * p + row[2] * s + row[3]);
  }

  toIndex(lps) {
    const from = lps.map((value, axis) => value - this.affine[axis][3]);
    const [l, p, s] = this.inverse.map((row) => row[0] * from[0] + row[1] * from[1] + row[2] * from[2]);
    return [s, p, l];
  }

  // HU of a plane, or null until it is here; then `arrived` is called.
  plane(name, number, arrived) {
    const key = `${name}/${number}`;
    const known = this.planes.get(key);
    if ((!known || (known.partial && this.whole)) && !this.asked.has(key)) {
      this.asked.add(key);
      const partial = !this.whole && name !== "axial";
      fetch(`/series/${this.key}/${key}`)
        .then((answer) => (answer.ok ? answer.arrayBuffer() : Promise.reject(answer)))
        .then((bytes) => {
          this.planes.set(key, { hu: new Int16Array(bytes), partial });
          if (this.planes.size > KEPT) this.planes.delete(this.planes.keys().next().value);
          arrived();
        })
        .catch(() => {})
        .finally(() => this.asked.delete(key));
    }
    return known ? known.hu : null;
  }
}

// Inverse of the upper left 3x3.
function inverted([[a, b, c], [d, e, f], [g, h, i]]) {
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / det));
}
