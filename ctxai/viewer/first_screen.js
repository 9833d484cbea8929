// An OHIF extension: what a reader wants to see first. Beside the overlay that the address names it draws the nodules in
// outline, goes to the middle of the first one, and offers the bands of every map as one button each. A line for each
// nodule says what the structured report predicts; a click goes there.

const OUTLINED = "Nodules: readers";
const REPORTED = "Nodule report";
/** Codes of DICOM: measurement group, tracking identifier. */
const GROUP = "125007", NAME = "112039";
/** Evidence from weak to strong, as shares of red, green and blue; weak evidence is transparent. */
const COLOURS = { for: [1, 1, 0, 1, 0, 0], against: [0.7, 0.9, 1, 0.1, 0.3, 1] };
const NO_NUMBER = "Do not use the number", NO_MAP = "Do not use the map";
const OPACITIES = [[0, 0], [0.1, 0], [0.2, 0.99], [1, 0.99]];
/** Hounsfield units; OHIF adds a map's colour to the CT's grey, and on a white nodule it would be lost. */
const NODULE_WINDOW = { lower: -1200, upper: 1000 };
const BANDS = /^(.+): bands/;
const STRONGEST_FIRST = [3, 2, 1, 4];
const PATIENCE_MS = 60_000;

/** Wait until `ready()` gives something, and give that; undefined when it never does. */
async function until(ready) {
  for (let waited = 0; waited < PATIENCE_MS; waited += 200) {
    const found = ready();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Items of a sequence, which may be one alone. */
function itemsOf(sequence) {
  return sequence === undefined ? [] : [sequence].flat();
}

function conceptOf(item) {
  return itemsOf(item.ConceptNameCodeSequence)[0] ?? {};
}

function groupsOf(items) {
  return itemsOf(items).flatMap((one) => (conceptOf(one).CodeValue === GROUP ? [one] : groupsOf(one.ContentSequence)));
}

/** What a report says of a nodule: its name, and the answer in a line. */
function answerOf(group) {
  const items = itemsOf(group.ContentSequence);
  const name = items.find((one) => conceptOf(one).CodeValue === NAME)?.TextValue ?? "nodule";
  const measured = items.filter((one) => one.ValueType === "NUM" && one.MeasuredValueSequence);
  const numbers = new Map(measured.map((one) => [conceptOf(one).CodeMeaning, Number(itemsOf(one.MeasuredValueSequence)[0].NumericValue)]));
  const said = (words) => numbers.get(words)?.toFixed(1) ?? "–";
  const parts = [`malignancy ${said("Malignancy")} of 5 (90 % interval ${said("Malignancy, 90 % interval from")} to ${said("Malignancy, 90 % interval to")})`];
  if (numbers.has("Diameter")) parts.push(`${said("Diameter")} mm`);
  const doubts = [...numbers.keys()].filter((words) => words.endsWith(", reasons")).map((words) => words.replace(", reasons", ""));
  if (doubts.includes(NO_NUMBER)) parts.push(NO_NUMBER);
  const maps = doubts.filter((words) => words.startsWith(NO_MAP)).map((words) => words.slice(NO_MAP.length).trim() || "all");
  if (maps.length) parts.push(`${NO_MAP}: ${maps.join(", ")}`);
  return { name, text: parts.join(" · ") };
}

class FirstScreen {
  constructor({ displaySetService, segmentationService, viewportGridService, cornerstoneViewportService }) {
    this.segmentations = segmentationService;
    this.displaySets = () => displaySetService.getActiveDisplaySets();
    this.active = () => viewportGridService.getActiveViewportId();
    this.viewport = () => cornerstoneViewportService.getCornerstoneViewport(this.active());
    this.up = () => viewportGridService.getDisplaySetsUIDsForViewport(this.active()) ?? [];
  }

  async show() {
    const asked = new URLSearchParams(window.location.search).get("initialSeriesInstanceUID");
    const first = await until(() => this.displaySets().find((one) => one.SeriesInstanceUID === asked));
    this.first = first;
    if (first?.Modality === "SR") return this.makeRoom();
    this.makeBar();
    if (first?.Modality !== "SEG" && first?.Modality !== "PMAP") return;
    const drawn = () => first.Modality === "PMAP" || this.shown(first);
    const ready = () => this.viewport()?.getImageData?.() && this.viewport().getNumberOfSlices() > 1 && drawn();
    if (!(await until(ready))) return;
    const nodules = this.described(OUTLINED);
    if (nodules && nodules !== first) {
      await this.outline(nodules);
      if (first.Modality === "SEG") this.segmentations.setActiveSegmentation(this.active(), first.displaySetInstanceUID);
    }
    await this.goTo(nodules ?? (first.Modality === "SEG" ? first : this.bands()[0]));
    if (first.Modality === "PMAP") await this.paint(first);
    else if (this.bands().includes(first)) this.offer(first);
    this.answer(nodules);
  }

  /** The colours of the page for a Parametric Map, over its own scale: what 99 % of it is at most. */
  async paint(map) {
    const volumeOf = () => this.viewport()?.getAllVolumeIds?.().find((id) => id.includes(map.displaySetInstanceUID));
    const volumeId = await until(volumeOf);
    const values = await until(() => window.cornerstone.cache.getVolume(volumeId)?.voxelManager?.getCompleteScalarDataArray?.());
    if (!values) return;
    const marked = values.filter((value) => value > 0).sort();
    if (!marked.length) return;
    const upper = marked[Math.floor(0.99 * (marked.length - 1))];
    const [r0, g0, b0, r1, g1, b1] = COLOURS[/against/.test(map.SeriesDescription) ? "against" : "for"];
    const name = `ctxai ${map.displaySetInstanceUID}`;
    window.cornerstone.utilities.colormap.registerColormap({ ColorSpace: "RGB", Name: name, RGBPoints: [0, r0, g0, b0, 1, r1, g1, b1] });
    const opacity = OPACITIES.map(([share, opacity]) => ({ value: share * upper, opacity }));
    this.viewport().setProperties({ colormap: { name, opacity }, voiRange: { lower: 0, upper } }, volumeId);
    this.viewport().setProperties({ voiRange: NODULE_WINDOW }, this.viewport().getAllVolumeIds()[0]);
    this.viewport().render();
  }

  /** A line for each nodule, which goes there. */
  answer(nodules) {
    const report = this.displaySets().find((one) => one.Modality === "SR" && one.SeriesDescription?.startsWith(REPORTED));
    const { segments } = this.segmentations.getSegmentation(nodules?.displaySetInstanceUID) ?? {};
    for (const { name, text } of groupsOf((report?.instance ?? report?.instances?.[0])?.ContentSequence).map(answerOf)) {
      const line = styled("button", { background: "#000a", border: "0", color: "#eee", padding: "1px 8px", textAlign: "left" });
      line.textContent = `${name}: ${text}`;
      const index = Object.keys(segments ?? {}).find((one) => segments[one].label === name);
      line.disabled = index === undefined;
      line.addEventListener("click", () => this.segmentations.jumpToSegmentCenter(nodules.displaySetInstanceUID, Number(index), this.active(), 0.9, false));
      this.bar.append(line);
    }
  }

  /** Move the image aside where the numbers beside a nodule would run off the viewport. */
  async makeRoom() {
    const texts = () => [...document.querySelectorAll("[data-cy=viewport-pane] svg text")];
    if (!(await until(() => this.viewport()?.getPan && texts().some((one) => one.textContent)))) return;
    const right = Math.max(...texts().map((one) => one.getBoundingClientRect().right));
    const pane = document.querySelector("[data-cy=viewport-pane]").getBoundingClientRect();
    const beyond = right + 16 - pane.right;
    if (beyond <= 0 || beyond > pane.width / 2) return; // a small viewport has no room for both
    const [x, y] = this.viewport().getPan();
    this.viewport().setPan([x - beyond, y]);
    this.viewport().render();
  }

  described(words) {
    return this.displaySets().find((one) => one.Modality === "SEG" && one.SeriesDescription?.startsWith(words));
  }

  /** All maps of the study as bands: the one that the address names, then the others by name. */
  bands() {
    const found = this.displaySets().filter((one) => one.Modality === "SEG" && BANDS.test(one.SeriesDescription));
    return found.sort((a, b) => (b === this.first) - (a === this.first) || a.SeriesDescription.localeCompare(b.SeriesDescription));
  }

  shown({ displaySetInstanceUID: segmentationId }) {
    return this.segmentations.getSegmentationRepresentations(this.active(), { segmentationId }).length > 0;
  }

  async load(segmentation) {
    if (!segmentation.isLoaded) await segmentation.load({ headers: {} });
    return segmentation.displaySetInstanceUID;
  }

  async draw(segmentation) {
    const segmentationId = await this.load(segmentation);
    await this.segmentations.addSegmentationRepresentation(this.active(), { segmentationId, type: "Labelmap" });
    return segmentationId;
  }

  async outline(nodules) {
    const segmentationId = await this.draw(nodules);
    const active = { renderFill: false, renderOutline: true, outlineWidth: 2 };
    const inactive = { renderFillInactive: false, renderOutlineInactive: true, outlineWidthInactive: 2 };
    this.segmentations.setStyle({ viewportId: this.active(), segmentationId, type: "Labelmap" }, { ...active, ...inactive });
  }

  /** The middle of the first nodule or, where none is outlined, of the strongest band that is there. */
  async goTo(segmentation) {
    if (!segmentation) return;
    const id = await this.load(segmentation);
    const { segments } = this.segmentations.getSegmentation(id) ?? {};
    const order = BANDS.test(segmentation.SeriesDescription) ? STRONGEST_FIRST : [1];
    const chosen = order.find((index) => segments?.[index]?.cachedStats?.center ?? segmentation.centroids?.get(index));
    if (chosen) this.segmentations.jumpToSegmentCenter(id, chosen, this.active(), 0.9, false);
  }

  makeBar() {
    this.bar = styled("div", { bottom: "64px", display: "grid", fontSize: "13px", gap: "3px", left: "50%", maxWidth: "54vw", position: "fixed", transform: "translateX(-50%)", width: "max-content", zIndex: 10 });
    this.bar.id = "ctxai-bar";
    document.body.append(this.bar);
  }

  /** A button for each map; the chosen one is drawn instead of the others. */
  offer(first) {
    const tools = styled("div", { display: "flex", flexWrap: "wrap", gap: "3px" });
    tools.id = "ctxai-maps";
    tools.setAttribute("role", "toolbar");
    tools.setAttribute("aria-label", "Maps");
    for (const map of this.bands()) {
      const button = styled("button", { background: "#222", border: "1px solid #888", borderRadius: "4px", color: "#eee", padding: "1px 8px", whiteSpace: "nowrap" });
      button.textContent = BANDS.exec(map.SeriesDescription)[1].replaceAll("_", " ");
      button.addEventListener("click", () => this.choose(map, tools));
      button.map = map;
      tools.append(button);
    }
    this.bar.prepend(tools);
    this.mark(first, tools);
  }

  async choose(map, tools) {
    for (const other of this.bands().filter((one) => one !== map && this.shown(one)))
      this.segmentations.removeSegmentationRepresentations(this.active(), { segmentationId: other.displaySetInstanceUID });
    if (!this.shown(map)) await this.draw(map);
    this.segmentations.setActiveSegmentation(this.active(), map.displaySetInstanceUID);
    this.mark(map, tools);
  }

  mark(map, tools) {
    for (const button of tools.children) {
      const chosen = button.map === map;
      button.setAttribute("aria-pressed", chosen);
      button.style.background = chosen ? "#666" : "#222";
    }
  }
}

function styled(kind, style) {
  const element = document.createElement(kind);
  Object.assign(element.style, style);
  return element;
}

window.config.extensions.push({
  id: "ctxai-first-screen",
  onModeEnter: ({ servicesManager }) => new FirstScreen(servicesManager.services).show(),
  onModeExit: () => document.getElementById("ctxai-bar")?.remove(),
});
