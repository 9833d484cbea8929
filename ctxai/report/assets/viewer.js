"use strict";
// The viewer of one nodule: what its controls choose, shown in three planes and, on demand, in three dimensions.

const WINDOWS = { nodule: [-1200, 1000], lung: [-1400, 200], mediastinum: [-160, 240] };

class NoduleViewer {
  constructor(element) {
    this.element = element;
    this.data = JSON.parse(element.querySelector("script").textContent);
    this.control = (name) => element.querySelector(`[data-control=${name}]`);
    this.cursor = [0, 0, 0];
    this.planes = [...element.querySelectorAll("canvas[data-plane], canvas[data-compare]")].map((canvas) => new PlaneView(canvas, this));
    element.addEventListener("input", () => this.update());
    element.addEventListener("keydown", (event) => this.onKey(event));
    this.control("reset").addEventListener("click", () => this.centre());
    this.control("three-d").addEventListener("click", () => showInThreeD(this));
    this.ready = this.load().catch((error) => this.say(`The images of this nodule cannot be read: ${error.message}`));
  }

  async load() {
    const ct = await readVolume(this.data.ct);
    const readers = this.data.readers && (await readVolume(this.data.readers));
    const maps = await Promise.all(this.data.maps.map((map) => readVolume(map.nifti)));
    Object.assign(this, { ct, readers, maps }); // together: whoever finds the CT may draw at once
    this.centre();
    this.element.dataset.ready = "true";
  }

  /** The chosen map among data.maps; -1 when there is none. */
  get chosen() {
    return this.data.maps.findIndex((map) => this.wants(map));
  }

  wants(map) {
    return map.method === this.control("method")?.value && map.target === this.control("target")?.value;
  }

  centre() {
    if (!this.ct) return;
    this.cursor = this.ct.shape.map((n) => n >> 1);
    this.update();
  }

  moveTo(...pairs) {
    if (!this.ct) return;
    for (let i = 0; i < pairs.length; i += 2) {
      const last = this.ct.shape[pairs[i]] - 1;
      this.cursor[pairs[i]] = Math.max(0, Math.min(last, pairs[i + 1]));
    }
    this.draw();
  }

  /** Read the controls and show what they say. */
  update() {
    if (!this.ct) return;
    const number = this.chosen;
    this.map = this.maps[number];
    this.scale = this.map ? colourScaleOf(this.map) : 1;
    this.compare();
    this.opacity = this.control("opacity") ? this.control("opacity").valueAsNumber / 100 : 0;
    this.window = WINDOWS[this.control("window").value];
    this.field = Number(this.control("field").value);
    this.outline = this.control("outline")?.checked ?? false;
    this.draw();
    const map = this.data.maps[number];
    if (map) this.tellMap(map);
    updateThreeD(this);
  }

  /** Show the second map, below the first, or nothing. */
  compare() {
    const choice = this.control("compare");
    if (!choice) return;
    const wanted = choice.value === "" ? -1 : Number(choice.value);
    this.second = this.maps[wanted];
    this.secondScale = this.second ? colourScaleOf(this.second) : 1;
    const row = this.element.querySelector(".compared");
    row.hidden = !this.second;
    if (!this.second) return;
    const { method, target, warnings } = this.data.maps[wanted];
    const doubt = warnings.length ? ` Do not rely on it: ${warnings.join("; ")}.` : "";
    this.tell("compared", `Above: the map that is chosen. Here: ${method.replaceAll("_", " ")}, ${target}, on its own scale of ${this.secondScale.toPrecision(3)}.${doubt}`);
  }

  tellMap(map) {
    this.tell("legend-low", map.signed ? `against ${map.target}` : "none");
    this.tell("legend-high", map.signed ? `for ${map.target}` : `most for ${map.target}`);
    this.tell("legend-scale", this.scale.toPrecision(3));
    this.element.querySelector(".bar").style.background = gradient(map.signed, this.opacity);
    this.tell("opacity-value", `${Math.round(this.opacity * 100)} %`);
    const failed = map.warnings.length;
    const said = failed ? `${failed} check${failed === 1 ? "" : "s"} of this map failed` : "no check of this map failed";
    this.tell("checks", map.checked ? said : "this map was not checked");
    const warning = this.element.querySelector(".map-warning");
    warning.hidden = map.warnings.length === 0;
    warning.querySelector("span").textContent = map.warnings.join("; ");
  }

  tell(name, text) {
    this.element.querySelector(`[data-tell=${name}]`).textContent = text;
  }

  say(message) {
    const place = this.element.querySelector(".viewer-message");
    place.hidden = false;
    place.textContent = message;
  }

  draw() {
    for (const plane of this.planes) plane.draw();
    const [s, p, l] = this.cursor;
    const place = (s * this.ct.shape[1] + p) * this.ct.shape[2] + l;
    const parts = [`${this.ct.values[place]} HU`];
    if (this.map) parts.push(`map ${((this.map.values[place] / this.scale) * 100).toFixed(0)} % of its scale`);
    this.tell("cursor", parts.join(" · ").replaceAll("-", "−"));
  }

  onKey(event) {
    if (event.target.tagName !== "CANVAS" || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      m: () => next(this.control("method")),
      t: () => next(this.control("target")),
      w: () => next(this.control("window")),
      c: () => next(this.control("compare")),
      o: () => this.toggleOverlay(),
      r: () => this.centre(),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action || !this.ct) return;
    event.preventDefault();
    action();
    this.update();
  }

  toggleOverlay() {
    const slider = this.control("opacity");
    if (!slider) return;
    const now = slider.valueAsNumber;
    slider.value = now > 0 ? 0 : this.before || 75;
    this.before = now || this.before;
  }
}

/** The colours of a map's values, weak ones transparent, as a CSS gradient over the grey of a nodule. */
function gradient(isSigned, opacity) {
  const stops = [];
  for (let share = isSigned ? -1 : 0; share <= 1.0001; share += 0.05) {
    const [r, g, b, a] = evidenceColour(share, opacity);
    stops.push(`rgb(${r} ${g} ${b} / ${a / 255})`);
  }
  return `linear-gradient(to right, ${stops.join()}), #777`;
}

/** Choose the next option of a select, after the last the first. */
function next(select) {
  if (select) select.selectedIndex = (select.selectedIndex + 1) % select.length;
}

// Images are decoded when their nodule comes near the screen, so that a page of many opens at once.
const viewers = new Map();

function viewerOf(element) {
  if (!viewers.has(element)) viewers.set(element, new NoduleViewer(element));
  return viewers.get(element);
}

const nearScreen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => viewerOf(entry.target)),
  { rootMargin: "600px" },
);
for (const element of document.querySelectorAll(".viewer")) nearScreen.observe(element);
