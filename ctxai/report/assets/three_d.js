"use strict";
// The 3-D view: one niivue canvas for the whole page, moved to the nodule that asks for it.

const TURN_DEGREES = 10;
const SHOWN_SHARE = 0.3; // weaker evidence would hide the nodule
const START = { azimuth: 200, elevation: 15 };
const threeD = { niivue: null, canvas: null, owner: null, shown: -1 };

/** Start niivue, once; its code lies compressed in the page. */
async function startNiivue() {
  const code = new TextDecoder().decode(await inflate(document.getElementById("niivue").textContent));
  const script = document.createElement("script");
  script.textContent = code;
  document.head.append(script);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { tabIndex: 0, className: "three-d" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "3-D view of the nodule and the map; arrow keys turn it, plus and minus zoom");
  canvas.addEventListener("keydown", onTurn, true);
  const options = { backColor: [0, 0, 0, 1], show3Dcrosshair: false, isOrientCube: true, dragAndDropEnabled: false,
    loadingText: "", viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", scrollRequiresFocus: true,
    logLevel: "error", isColorbar: false, renderOverlayBlend: 0.75 };
  const drawn = new niivue.Niivue(options);
  for (const [name, colours] of Object.entries(PAGE.colours)) drawn.addColormap(`evidence-${name}`, ramp(colours));
  Object.assign(threeD, { niivue: drawn, canvas });
}

/** A niivue colour map whose weak end is thin. */
function ramp(colours) {
  const places = [0, 1, 32, 64, 96, 128, 160, 192, 224, 255];
  const channel = (number) => places.map((place) => colours[place][number]);
  const alpha = places.map((place) => (place === 0 ? 0 : 64 + Math.round(place * 0.6)));
  return { R: channel(0), G: channel(1), B: channel(2), A: alpha, I: places };
}

async function showInThreeD(viewer) {
  const button = viewer.control("three-d");
  button.disabled = true;
  try {
    await viewer.ready;
    if (!threeD.niivue) await startNiivue();
    const place = viewer.element.querySelector(".three-d-place");
    if (threeD.owner) threeD.owner.element.querySelector(".three-d-place").classList.remove("shown");
    place.append(threeD.canvas);
    place.classList.add("shown");
    if (!threeD.niivue.canvas) await threeD.niivue.attachToCanvas(threeD.canvas);
    Object.assign(threeD, { owner: viewer, shown: -2 });
    threeD.niivue.setSliceType(threeD.niivue.sliceTypeRender);
    threeD.niivue.setRenderAzimuthElevation(START.azimuth, START.elevation);
    await updateThreeD(viewer);
    threeD.canvas.focus({ preventScroll: true });
  } catch (error) {
    viewer.say(`The 3-D view needs WebGL 2, which this browser does not give: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

/** Show what the viewer shows, when the 3-D view is with it. */
async function updateThreeD(viewer) {
  if (threeD.owner !== viewer || threeD.shown === viewer.chosen) return;
  threeD.shown = viewer.chosen;
  const { niivue: drawn } = threeD;
  const Image = niivue.NVImage;
  const map = viewer.data.maps[viewer.chosen];
  const volumes = [
    await Image.loadFromBase64({ base64: viewer.data.ct, name: "ct.nii.gz", colormap: "gray", cal_min: -650, cal_max: 300 }),
  ];
  if (map)
    volumes.push(
      await Image.loadFromBase64({
        base64: map.nifti, name: "map.nii.gz", colormap: "evidence-for", colormapNegative: "evidence-against",
        cal_min: SHOWN_SHARE * viewer.scale, cal_max: viewer.scale,
        cal_minNeg: -SHOWN_SHARE * viewer.scale, cal_maxNeg: -viewer.scale,
      }),
    );
  while (drawn.volumes.length) drawn.removeVolume(drawn.volumes[drawn.volumes.length - 1]);
  for (const volume of volumes) drawn.addVolume(volume);
  drawn.updateGLVolume();
  threeD.canvas.dataset.drawn = String(viewer.chosen);
}

function onTurn(event) {
  const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const zooms = { "+": 1.1, "=": 1.1, "-": 1 / 1.1 };
  const { scene } = threeD.niivue;
  if (turns[event.key]) {
    const [azimuth, elevation] = turns[event.key].map((turn) => turn * TURN_DEGREES);
    threeD.niivue.setRenderAzimuthElevation(scene.renderAzimuth + azimuth, scene.renderElevation + elevation);
  } else if (zooms[event.key]) {
    threeD.niivue.setScale(scene.volScaleMultiplier * zooms[event.key]);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
