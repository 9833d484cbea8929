// The panel beside the planes. Text from files is set as text, never as HTML.

const STAGES = { waiting: "waiting for the model", numbers: "predicting", map: "explaining", checks: "checking the map", done: "", failed: "" };
const SHARES = { waiting: 0.05, numbers: 0.2, map: 0.5, checks: 0.8, done: 1, failed: 1 };
const LEVELS = { "Do not use the number": "number", "Do not use the map": "map", "Good to know": "note" };
const $ = (id) => document.getElementById(id);

export const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits).replace("-", "−"));
// A share is never 0 or 100 %, which no model can know.
export function percent(share) {
  if (share === null || share === undefined) return "–";
  return share < 0.005 ? "under 1 %" : share > 0.995 ? "over 99 %" : `${Math.round(share * 100)} %`;
}

function fill(select, entries, chosen) {
  const now = select.value || chosen;
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, value === now)));
}

const named = (name) => name.replaceAll("_", " ");

// What the reader would answer for a target: one of its classes, or a number.
function valueField(field) {
  const label = Object.assign(document.createElement("label"), { textContent: `${named(field.title)} ` });
  const input = document.createElement(field.classes.length ? "select" : "input");
  input.dataset.target = field.name;
  if (field.classes.length) fill(input, [["", "–"], ...field.classes.map((one) => [one, one])]);
  else Object.assign(input, { type: "number", step: "any", min: field.low ?? "", max: field.high ?? "" });
  label.append(input);
  return label;
}

const valueInputs = () => [...$("values").querySelectorAll("[data-target]")];

export const clearValues = () => valueInputs().forEach((input) => { input.value = ""; });

export function givenValues() {
  const given = valueInputs().filter((input) => input.value !== "");
  return Object.fromEntries(given.map((input) => [input.dataset.target, input.type === "number" ? Number(input.value) : input.value]));
}

const valueTexts = (values) => Object.entries(values).map(([name, value]) => `${named(name)} ${value}`);

function seriesName(one) {
  const { SeriesDescription: description, StudyDate: date, SeriesNumber: number, ConvolutionKernel: kernel } = one.texts;
  return [date, number && `series ${number}`, description, kernel].filter(Boolean).join(", ") || one.key;
}

export function showState(page) {
  const { state } = page;
  if (state.error) {
    $("status").textContent = state.error;
    $("status").className = "error";
    return;
  }
  $("notice").textContent = state.notice;
  if (!$("series").options.length) {
    fill($("series"), state.series.map((one) => [one.key, seriesName(one)]));
  }
  if (state.run && !$("target").options.length) {
    const targets = state.run.targets.map((one) => [one, named(one)]);
    fill($("target"), targets);
    fill($("minus"), [["", "nothing"], ...targets]);
    fill($("method"), state.run.methods.map((one) => [one, named(one)]));
    $("rating-label").hidden = state.run.own;
    $("values").replaceChildren(...state.fields.map(valueField));
    $("values-part").hidden = !state.fields.length;
    $("values-part").open = state.run.own;
    $("told").textContent = state.run.own ? "Prediction" : "Probability";
    $("run").textContent = `ctxai ${state.version}, run ${state.run.name}, weights ${state.run.weights_sha256.slice(0, 12)}`;
  }
  const own = state.series.find((one) => page.volume && one.key === page.volume.key);
  const fault = state.fault || (own && own.fault);
  const read = own ? own.read : 0;
  if (page.answer) return;
  const reading = !own || own.read < 1;
  $("status").className = fault ? "error" : "";
  $("status").textContent = fault || (reading ? `Reading slices: ${Math.round(read * 100)} %` : state.run ? "Click a nodule." : "Loading the model …");
  $("progress").value = fault ? 0 : reading ? read : state.run ? 1 : 0.5;
}

// The other series of the same patient; those of earlier studies are called prior.
export function offerBeside(state, key) {
  const own = state.series.find((one) => one.key === key);
  const others = state.series.filter((one) => one !== own && one.patient === own.patient);
  const prior = (one) => one.texts.StudyDate && own.texts.StudyDate && one.texts.StudyDate < own.texts.StudyDate;
  $("beside").replaceChildren(new Option("nothing", ""), ...others.map((one) => new Option(`${prior(one) ? "prior: " : ""}${seriesName(one)}`, one.key)));
  $("beside-label").hidden = !others.length;
}

export function showNodules(page, select) {
  $("nodules").replaceChildren(
    ...page.marks.map((mark) => {
      const row = document.createElement("tr");
      const cells = [
        mark.nodule_id,
        fixed(mark.row.diameter, 1),
        mark.own.length ? mark.own[0].predicted : percent(mark.row.malignancy_probability),
        mark.state + (mark.score === null ? "" : ` (score ${fixed(mark.score)})`) + (mark.verdicts.length ? `, ${mark.verdicts.at(-1).verdict || "rated"}` : ""),
      ];
      row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      row.setAttribute("aria-selected", mark === page.selected);
      row.className = mark.state;
      row.dataset.nodule = mark.nodule_id;
      row.tabIndex = 0;
      row.addEventListener("click", () => select(mark));
      row.addEventListener("keydown", (event) => event.key === "Enter" && select(mark));
      return row;
    }),
  );
}

export function showAnswer(page) {
  const { answer, selected } = page;
  $("answer").hidden = !selected;
  if (!selected) return;
  $("answer-name").textContent = selected.nodule_id;
  const row = answer && Object.keys(answer.row).length ? answer.row : selected.row;
  const known = row && row.malignancy !== undefined;
  $("answer").dataset.stage = answer ? answer.stage : "";
  for (const name of ["malignancy", "malignancy_low", "malignancy_high", "malignancy_probability", "diameter"]) {
    $("answer").dataset[name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())] = known ? row[name] : "";
  }
  const own = answer && answer.own.length ? answer.own : selected.own;
  const first = own.find((one) => one.outputs.includes($("target").value)) || own[0];
  $("malignancy").textContent = first ? `${named(first.name)}: ${first.predicted}` : known ? `Malignancy ${fixed(row.malignancy, 1)}` : "";
  $("malignancy-interval").textContent = first ? `(${first.interval}${first.outputs.length > 1 ? "" : ", 90 % interval"})` : known ? `of 5 (90 % interval ${fixed(row.malignancy_low, 1)} to ${fixed(row.malignancy_high, 1)})` : "";
  $("probability").textContent = known ? `Probability that readers rate it above 3: ${percent(row.malignancy_probability)}` : "";
  $("diameter").textContent = known ? diameterText(row, answer) : "";
  $("before").textContent = page.before && known ? `Before the mark was moved: malignancy ${fixed(page.before.malignancy, 1)}, probability ${percent(page.before.malignancy_probability)}` : "";
  $("marks-told").textContent = placesText(selected, answer);
  $("warnings").replaceChildren(...(answer ? answer.warnings : []).map(([level, text]) => Object.assign(document.createElement("li"), { className: LEVELS[level], textContent: `${level}: ${text}` })));
  $("ratings").replaceChildren(...(own.length ? own.map((one) => lineOf([named(one.name), one.predicted, one.interval])) : known ? ratingRows(row) : []));
  const last = selected.verdicts.at(-1);
  $("said").textContent = last ? `Kept: ${[last.verdict, last.rating && `rating ${last.rating}`, ...valueTexts(last.values), last.text, last.map_shown ? "map seen" : "map not seen"].filter(Boolean).join(", ")}` : "";
  if (!answer) return;
  $("status").textContent = answer.error || STAGES[answer.stage] || "The answer is whole.";
  $("status").className = answer.error ? "error" : "";
  $("progress").value = SHARES[answer.stage] || 0;
}

function placesText(mark, answer) {
  const place = (lps) => `(${lps.map((value) => fixed(value, 1)).join(", ")})`;
  const marked = [mark.x, mark.y, mark.z];
  const text = `Mark at ${place(marked)} mm LPS`;
  if (!answer || !answer.middle) return text;
  const distance = Math.hypot(...answer.middle.map((value, axis) => value - marked[axis]));
  return distance < 0.05 ? text : `${text}; the model sees the nodule's middle ${fixed(distance, 1)} mm away, at ${place(answer.middle)}, and answers there`;
}

function diameterText(row, answer) {
  const texts = row.diameter === undefined ? [] : [`Diameter ${fixed(row.diameter, 1)} mm (90 % interval ${fixed(row.diameter_low, 1)} to ${fixed(row.diameter_high, 1)})`];
  if (answer && answer.diameter) {
    const [a, b] = answer.diameter;
    texts.push(`longest line across the outline ${fixed(Math.hypot(...a.map((value, axis) => value - b[axis])), 1)} mm`);
  }
  return texts.join("; ");
}

function ratingRows(row) {
  return Object.keys(row).filter((name) => `${name}_low` in row).map((name) => {
    const told = name.endsWith("_probability") ? percent : (value) => fixed(value, 1);
    return lineOf([named(name), told(row[name]), `${told(row[`${name}_low`])} to ${told(row[`${name}_high`])}`]);
  });
}

function lineOf(texts) {
  const line = document.createElement("tr");
  line.append(...texts.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return line;
}
