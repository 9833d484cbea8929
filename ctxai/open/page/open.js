// The page: what is looked at, what is asked, what the reader says.

import { ask, tell } from "/server.js";
import { Plane } from "/plane.js";
import { Volume } from "/volume.js";
import { clearValues, givenValues, offerBeside, showAnswer, showNodules, showState } from "/panel.js";

const WINDOWS = { lung: [-1350, 150], mediastinum: [-125, 225] };
const NAMES = ["axial", "coronal", "sagittal"];
const POLL_MS = 120;
const GRAB_PX = 9;
const CROSS_STEP_PX = 6;
const $ = (id) => document.getElementById(id);

const page = {
  state: null, volume: null, beside: null, besideBy: 0, at: [0, 0, 0], window: "lung", mapShown: true,
  marks: [], selected: null, cross: false, answer: null, map: null, before: null, wanted: 0, seenMap: new Set(),
};
const planes = NAMES.map((name) => new Plane(document.querySelector(`canvas[data-plane=${name}]`), name));
const besidePlane = new Plane(document.querySelector("canvas[data-plane=beside]"), "axial");
let drawing = false;

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!page.volume) return;
    const { volume, at } = page;
    const indices = (lines) => lines.map((line) => line.map((lps) => volume.toIndex(lps)));
    const outlines = page.answer ? page.answer.outlines : {};
    const scene = {
      volume, at, cross: page.cross, window: WINDOWS[page.window], marks: page.marks, selected: page.selected,
      map: page.mapShown ? page.map : null,
      lines: Object.fromEntries(Object.entries(outlines).map(([plane, lines]) => [plane, indices(lines)])),
      diameter: page.answer && page.answer.diameter ? indices([page.answer.diameter])[0] : null,
      middle: page.answer && page.answer.middle ? volume.toIndex(page.answer.middle) : null,
    };
    planes.forEach((plane) => {
      const number = Math.round(at[plane.cut]);
      plane.draw({ ...scene, hu: volume.plane(plane.name, number, draw) });
      plane.canvas.nextElementSibling.textContent = `${plane.name} ${number + 1} / ${volume.shape[plane.cut]}`;
    });
    if (page.beside) drawBeside();
    if (page.map && page.mapShown && page.selected) page.seenMap.add(page.selected.nodule_id);
  });
}

// The other series at the same height, or as many slices from it as its own wheel has turned.
function drawBeside() {
  const there = page.beside.toIndex(page.volume.toLps(page.at)).map((value, axis) => Math.max(0, Math.min(page.beside.shape[axis] - 1, value)));
  const number = Math.max(0, Math.min(page.beside.shape[0] - 1, Math.round(there[0]) + page.besideBy));
  there[0] = number;
  besidePlane.zoom = planes[0].zoom;
  besidePlane.draw({
    volume: page.beside, at: there, window: WINDOWS[page.window], marks: [], selected: null, map: null, lines: {},
    hu: page.beside.plane("axial", number, draw),
  });
  besidePlane.canvas.nextElementSibling.textContent = `beside: axial ${number + 1} / ${page.beside.shape[0]}`;
}

const sameSeries = (mark) => page.volume && mark.series === page.volume.key;

function setMarks(marks) {
  page.marks = marks.filter(sameSeries).map((mark) => ({ ...mark, index: page.volume.toIndex([mark.x, mark.y, mark.z]) }));
  page.selected = page.selected && (page.marks.find((mark) => mark.nodule_id === page.selected.nodule_id) || null);
  showNodules(page, select);
  draw();
}

const putMark = (mark) => setMarks([...page.marks.filter((one) => one.nodule_id !== mark.nodule_id), mark].sort((a, b) => a.nodule_id.localeCompare(b.nodule_id)));

async function openSeries(key) {
  const described = await ask(`/series/${key}`);
  if (described.error) return showProblem(described.error);
  page.wanted++;
  page.volume = new Volume(key, described);
  page.at = page.volume.shape.map((count) => (count - 1) / 2).map(Math.round);
  Object.assign(page, { selected: null, answer: null, map: null, before: null });
  planes.forEach((plane) => { plane.zoom = 1; });
  offerBeside(page.state, key);
  setMarks(page.state.marks);
  showBeside("");
  showAnswer(page);
  watchReading();
}

async function showBeside(key) {
  const described = key ? await ask(`/series/${key}`) : null;
  if (described && described.error) return showProblem(described.error);
  page.beside = described && new Volume(key, described);
  page.besideBy = 0;
  document.querySelector(".beside").hidden = !key;
  $("planes").classList.toggle("two", Boolean(key));
}

async function watchReading() {
  for (;;) {
    page.state = await ask("/state");
    const own = page.state.series.find((one) => page.volume && one.key === page.volume.key);
    const ready = page.state.run || page.state.fault;
    showState(page, question);
    if (own && own.read === 1 && !page.volume.whole) {
      page.volume.whole = true;
      draw();
    } else if (own) draw();
    if (page.beside) page.beside.whole = page.state.series.find((one) => one.key === page.beside.key).read === 1;
    if ((!own || own.read === 1 || own.fault) && ready) break;
    await new Promise((go) => setTimeout(go, 300));
  }
}

function question() {
  const [target, minus] = [$("target").value, $("minus").value];
  return { method: $("method").value, target: minus && minus !== target ? `${target}-${minus}` : target };
}

function select(mark) {
  page.selected = mark;
  page.cross = false;
  Object.assign(page, { answer: null, map: null, before: null });
  $("rating").value = "";
  clearValues();
  $("text").value = "";
  if (mark) {
    page.at = mark.index.map((value, axis) => Math.max(0, Math.min(page.volume.shape[axis] - 1, value)));
    if (planes[0].zoom === 1) planes.forEach((plane) => { plane.zoom = 3; });
  }
  showNodules(page, select);
  showAnswer(page);
  draw();
  if (mark && mark.state !== "rejected") enquire();
}

// Ask the model about the selected mark, until the answer is whole or another one is wanted.
async function enquire() {
  const turn = ++page.wanted;
  const mark = page.selected;
  while (page.state && !page.state.run && !page.state.fault) await new Promise((go) => setTimeout(go, 200));
  if (!mark || turn !== page.wanted) return;
  const asked = { series: mark.series, nodule_id: mark.nodule_id, ...question() };
  page.map = null;
  for (;;) {
    const answer = await tell("/answers", asked);
    if (turn !== page.wanted) return;
    const news = !page.answer || page.answer.stage !== answer.stage;
    page.answer = answer;
    if (Object.keys(answer.row || {}).length) { mark.row = answer.row; mark.own = answer.own; }
    if (answer.map && !page.map) {
      const response = await fetch("/map", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
      if (turn !== page.wanted) return;
      if (response.ok) {
        const values = new Float32Array(await response.arrayBuffer());
        const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
        page.map = { ...answer.map, values, scale };
      }
    }
    if (news || answer.error) {
      showAnswer(page);
      showNodules(page, select);
      draw();
    }
    if (answer.ended || answer.error) return;
    await new Promise((go) => setTimeout(go, POLL_MS));
  }
}

async function markAt(index) {
  const [x, y, z] = page.volume.toLps(index);
  const mark = await tell("/marks", { series: page.volume.key, x, y, z });
  if (mark.error) return showProblem(mark.error);
  putMark(mark);
  select(page.marks.find((one) => one.nodule_id === mark.nodule_id));
}

async function change(fields) {
  if (!page.selected) return;
  const { series, nodule_id } = page.selected;
  const mark = await tell("/marks/change", { series, nodule_id, ...fields });
  if (mark.error) return showProblem(mark.error);
  putMark(mark);
}

async function moveTo(index) {
  const [x, y, z] = page.volume.toLps(index);
  page.before = page.selected.row && page.selected.row.malignancy !== undefined ? page.selected.row : null;
  await change({ x, y, z });
  page.answer = page.map = null;
  showAnswer(page);
  enquire();
}

async function removeMark() {
  if (!page.selected) return;
  const { series, nodule_id } = page.selected;
  await tell("/marks/remove", { series, nodule_id });
  page.wanted++;
  page.selected = null;
  setMarks(page.marks.filter((one) => one.nodule_id !== nodule_id));
  select(null);
}

async function judge(verdict) {
  if (!page.selected) return;
  const { series, nodule_id } = page.selected;
  const rating = $("rating").value;
  const { method, target } = question();
  const shown = page.seenMap.has(nodule_id);
  const said = await tell("/verdicts", {
    series, nodule_id, verdict, rating: rating ? Number(rating) : null, text: $("text").value, map_shown: shown,
    method: shown ? method : "", target, values: givenValues(),
  });
  if (said.error) return showProblem(said.error);
  putMark(said);
  showAnswer(page);
}

async function writeObjects() {
  $("written").textContent = "Writing …";
  const told = await tell("/objects", { series: page.volume.key });
  $("written").textContent = told.error || `Written in ${told.folder}: ${told.files.join(", ")}`;
  $("written").classList.toggle("error", Boolean(told.error));
}

function say(text, isProblem = false) {
  $("status").textContent = text;
  $("status").className = isProblem ? "error" : "";
}

const showProblem = (text) => say(text, true);

function step(plane, slices) {
  const count = page.volume.shape[plane.cut];
  page.at[plane.cut] = Math.max(0, Math.min(count - 1, Math.round(page.at[plane.cut]) + slices));
  draw();
}

// The cross stands where the planes meet; a first key shows it.
function moveCross(plane, right, up) {
  if (page.cross) plane.stepOnScreen(page.volume, page.at, right * CROSS_STEP_PX, up * CROSS_STEP_PX);
  page.cross = true;
  draw();
  const [left, posterior, superior] = page.volume.toLps(page.at).map((mm) => mm.toFixed(1));
  say(`Cross at ${left}, ${posterior}, ${superior} mm (LPS); Enter marks a nodule.`);
}

function markCross() {
  if (page.cross) markAt([...page.at]);
}

// Through the nodules of all series, in the order of the series.
async function nextNodule(by) {
  page.state = await ask("/state");
  const keys = page.state.series.map((one) => one.key);
  const order = (mark) => keys.indexOf(mark.series);
  const marks = page.state.marks.filter((mark) => order(mark) >= 0).sort((a, b) => order(a) - order(b) || a.nodule_id.localeCompare(b.nodule_id));
  if (!marks.length) return;
  const here = page.selected || { series: page.volume.key };
  const now = marks.findIndex((mark) => mark.series === here.series && mark.nodule_id === here.nodule_id);
  const before = now >= 0 ? now : marks.findIndex((mark) => order(mark) >= order(here)) + (by > 0 ? -1 : 0);
  const next = marks[(before + by + marks.length) % marks.length];
  if (!sameSeries(next)) {
    $("series").value = next.series;
    await openSeries(next.series);
  }
  select(page.marks.find((mark) => mark.nodule_id === next.nodule_id) || null);
}

function zoom(factor) {
  planes.forEach((plane) => { plane.zoom = Math.max(1, Math.min(12, plane.zoom * factor)); });
  draw();
}

function showMap(shown) {
  page.mapShown = shown;
  $("map-shown").setAttribute("aria-pressed", shown);
  draw();
}

function setWindow(name) {
  page.window = name;
  document.querySelectorAll("[data-window]").forEach((one) => one.setAttribute("aria-pressed", one.dataset.window === name));
  draw();
}

for (const plane of planes) {
  let grabbed = null;
  plane.canvas.addEventListener("pointerdown", (event) => {
    if (!page.volume || event.button) return;
    const index = plane.fromEvent(event, page.volume, page.at);
    if (!index) return;
    page.cross = false;
    plane.canvas.setPointerCapture(event.pointerId);
    const frame = plane.frame(page.volume, page.at);
    const [x, y] = plane.toScreen(frame, index);
    const near = page.marks.find((mark) => mark.state !== "rejected" && Math.hypot(plane.toScreen(frame, mark.index)[0] - x, plane.toScreen(frame, mark.index)[1] - y) < GRAB_PX * frame.ratio && Math.abs(mark.index[plane.cut] - page.at[plane.cut]) * page.volume.steps[plane.cut] < 8);
    grabbed = { near, x: event.clientX, y: event.clientY, moved: false };
  });
  plane.canvas.addEventListener("pointermove", (event) => {
    if (!grabbed || !grabbed.near) return;
    grabbed.moved ||= Math.hypot(event.clientX - grabbed.x, event.clientY - grabbed.y) > 3;
    const index = grabbed.moved && plane.fromEvent(event, page.volume, page.at);
    if (index) {
      index[plane.cut] = grabbed.near.index[plane.cut];
      grabbed.near.index = index;
      draw();
    }
  });
  plane.canvas.addEventListener("pointerup", (event) => {
    if (!grabbed) return;
    const { near, moved } = grabbed;
    grabbed = null;
    const index = plane.fromEvent(event, page.volume, page.at);
    if (!index) return;
    if (near && moved) {
      const to = near.index;
      if (page.selected !== near) page.selected = near;
      moveTo(to);
    } else if (near) select(near);
    else if (event.shiftKey) {
      page.at = index;
      draw();
    } else markAt(index);
  });
  plane.canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (!page.volume) return;
    if (event.ctrlKey) zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    else step(plane, (event.deltaY > 0 ? -1 : 1) * (plane.name === "axial" ? 1 : -1));
  }, { passive: false });
}

document.addEventListener("keydown", (event) => {
  if (!page.volume || event.ctrlKey || event.metaKey || event.altKey || /^(TEXTAREA|SELECT|INPUT)$/.test(event.target.tagName)) return;
  const plane = planes.find((one) => one.canvas === event.target) || planes[0];
  const keys = {
    ArrowUp: () => step(plane, 1), ArrowDown: () => step(plane, -1), PageUp: () => step(plane, 10), PageDown: () => step(plane, -10),
    "+": () => zoom(1.2), "=": () => zoom(1.2), "-": () => zoom(1 / 1.2), 0: () => zoom(1e-9),
    j: () => nextNodule(1), k: () => nextNodule(-1), a: () => change({ state: "accepted" }), r: () => change({ state: "rejected" }),
    Delete: removeMark, y: () => judge("agree"), n: () => judge("disagree"), u: () => judge("map misleading"),
    1: () => setWindow("lung"), 2: () => setWindow("mediastinum"), m: () => showMap(!page.mapShown),
  };
  const crossKeys = {
    ArrowLeft: () => moveCross(plane, -1, 0), ArrowRight: () => moveCross(plane, 1, 0),
    ArrowUp: () => moveCross(plane, 0, 1), ArrowDown: () => moveCross(plane, 0, -1),
  };
  if (plane.canvas === event.target) keys.Enter = markCross;
  const action = (event.shiftKey && crossKeys[event.key]) || keys[event.key] || keys[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  }
});

document.querySelectorAll("[data-window]").forEach((one) => one.addEventListener("click", () => setWindow(one.dataset.window)));
document.querySelectorAll("[data-verdict]").forEach((one) => one.addEventListener("click", () => judge(one.dataset.verdict)));
$("verdict").addEventListener("submit", (event) => {
  event.preventDefault();
  judge("");
});
$("map-shown").addEventListener("click", () => showMap(!page.mapShown));
$("accept").addEventListener("click", () => change({ state: "accepted" }));
$("reject").addEventListener("click", () => change({ state: "rejected" }));
$("remove").addEventListener("click", removeMark);
$("write").addEventListener("click", writeObjects);
for (const id of ["target", "minus", "method"]) $(id).addEventListener("change", () => page.selected && enquire());
$("series").addEventListener("change", (event) => openSeries(event.target.value));
$("beside").addEventListener("change", async (event) => {
  await showBeside(event.target.value);
  watchReading();
});
besidePlane.canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  page.besideBy += event.deltaY > 0 ? -1 : 1;
  draw();
}, { passive: false });
new ResizeObserver(draw).observe($("planes"));

page.state = await ask("/state");
showState(page, question);
if (page.state.series.length) await openSeries($("series").value);
