// An OHIF extension: what a reader wants to see first. Beside the overlay that the address names it draws the nodules in
// outline, goes to the middle of the first one, and offers the bands of every map as one button each.

const OUTLINED = "Nodules: readers";
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
    if (this.bands().includes(first)) this.offer(first);
  }

  /** Move the image aside where the numbers beside a nodule would run off the viewport. */
  async makeRoom() {
    const texts = () => [...document.querySelectorAll("[data-cy=viewport-pane] svg text")];
    if (!(await until(() => this.viewport()?.getPan && texts().some((one) => one.textContent)))) return;
    const right = Math.max(...texts().map((one) => one.getBoundingClientRect().right));
    const pane = document.querySelector("[data-cy=viewport-pane]").getBoundingClientRect();
    const beyond = right + 16 - pane.right;
    if (beyond <= 0 || beyond > pane.width / 4) return; // a small viewport has no room for both
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

  /** A button for each map; the chosen one is drawn instead of the others. */
  offer(first) {
    const bar = document.createElement("div");
    bar.id = "ctxai-maps";
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", "Maps");
    Object.assign(bar.style, { bottom: "8px", display: "flex", flexWrap: "wrap", fontSize: "13px", gap: "4px", justifyContent: "center", left: "50%", maxWidth: "50vw", position: "fixed", transform: "translateX(-50%)", width: "max-content", zIndex: 10 });
    for (const map of this.bands()) {
      const button = document.createElement("button");
      button.textContent = BANDS.exec(map.SeriesDescription)[1].replaceAll("_", " ");
      Object.assign(button.style, { background: "#222", border: "1px solid #888", borderRadius: "4px", color: "#eee", padding: "2px 8px", whiteSpace: "nowrap" });
      button.addEventListener("click", () => this.choose(map, bar));
      button.map = map;
      bar.append(button);
    }
    document.body.append(bar);
    this.mark(first, bar);
  }

  async choose(map, bar) {
    for (const other of this.bands().filter((one) => one !== map && this.shown(one)))
      this.segmentations.removeSegmentationRepresentations(this.active(), { segmentationId: other.displaySetInstanceUID });
    if (!this.shown(map)) await this.draw(map);
    this.segmentations.setActiveSegmentation(this.active(), map.displaySetInstanceUID);
    this.mark(map, bar);
  }

  mark(map, bar) {
    for (const button of bar.children) {
      const chosen = button.map === map;
      button.setAttribute("aria-pressed", chosen);
      button.style.background = chosen ? "#666" : "#222";
    }
  }
}

window.config.extensions.push({
  id: "ctxai-first-screen",
  onModeEnter: ({ servicesManager }) => new FirstScreen(servicesManager.services).show(),
  onModeExit: () => document.getElementById("ctxai-maps")?.remove(),
});
