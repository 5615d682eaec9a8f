"use strict";
const MOST_SHOWN = 200, MOST_REASONS = 12, LEAST_REASON = 0.005, LEAST_OFF = 0.05;
const $ = id => document.getElementById(id);
let schema = null;

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

async function ask(path, body, type) {
  const headers = {}, token = sessionStorage.getItem("token");
  if (token) headers.Authorization = "Bearer " + token;
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body });
  } catch {
    throw { error: "The service does not answer." };
  }
  if (response.status === 401) {
    $("access").hidden = false;
    $("token").focus();
    throw { error: token ? "That is not the token of this service." : "This service answers those who have its token." };
  }
  const said = await response.json().catch(() => ({ error: "The answer could not be read (" + response.status + ")." }));
  if (!response.ok) throw said;
  return said;
}

function number(value) {
  return value === null ? "" : String(Number(value.toPrecision(6)));
}

function whole(count) {
  return count.toLocaleString("en");
}

function day(days) {
  return new Date(days * 86400000).toISOString().slice(0, 10);
}

/* A date as training wrote it. */
function written(one, days) {
  const [year, month, date] = day(days).split("-");
  if (one.written === "day first") return date + "." + month + "." + year;
  return one.written === "month first" ? month + "/" + date + "/" + year : day(days);
}

function usual(one) {
  if (one.kind === "category") return one.levels.length ? one.levels[0] : "";
  if (one.kind === "number" && one.median !== null) return number(one.median);
  return one.kind === "date" && one.median !== null ? written(one, one.median) : "";
}

function hint(one) {
  if (one.low === null || one.kind === "text" || one.kind === "picture") return "";
  return one.kind === "date"
    ? "in training " + written(one, one.low) + " to " + written(one, one.high)
    : "in training " + number(one.low) + " to " + number(one.high);
}

function field(one, at) {
  const box = make("div"), id = "field-" + at;
  const label = make("label", one.name, { for: id });
  let input;
  if (one.kind === "text") {
    input = make("textarea");
    box.className = "wide";
  } else if (one.kind === "picture") {
    input = make("input", null, { type: "file", accept: "image/png,image/jpeg" });
    box.className = "wide";
  } else {
    input = make("input", null, { type: "text", autocomplete: "off", spellcheck: "false" });
    if (one.kind === "number") input.inputMode = "decimal";
    if (one.kind === "category") {
      const list = make("datalist", null, { id: id + "-levels" });
      for (const level of one.levels) list.append(make("option", null, { value: level }));
      input.setAttribute("list", list.id);
      box.append(list);
    }
    input.placeholder = "not known";
    input.value = usual(one);
  }
  input.id = id;
  const shown = one.kind === "category" ? one.levels.slice(0, 4).join(", ") + (one.levels.length > 4 ? ", …" : "") : hint(one);
  const below = make("span", shown, { class: "hint", id: id + "-hint" });
  input.setAttribute("aria-describedby", below.id);
  box.prepend(label, input);
  box.append(below);
  if (one.kind === "picture") input.addEventListener("change", () => preview(box, input));
  return box;
}

function preview(box, input) {
  box.querySelector("img")?.remove();
  if (input.files[0]) box.append(make("img", null, { src: URL.createObjectURL(input.files[0]), class: "preview", alt: "the picture that was chosen" }));
}

function as_base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed({ error: "The file cannot be read." });
    reader.readAsDataURL(file);
  });
}

async function row() {
  const values = {};
  for (const [at, one] of schema.features.entries()) {
    const input = $("field-" + at);
    if (one.kind === "picture") {
      if (!input.files[0]) throw { error: "Choose a picture first.", field: one.name };
      values[one.name] = await as_base64(input.files[0]);
    } else values[one.name] = input.value.trim() === "" ? null : input.value;
  }
  return values;
}

/* Programs count rows from 0, readers of a table from 1; who filled in one row need not be told which. */
function told(place, said) {
  const text = said.error || String(said);
  if (!Number.isInteger(said.row)) return text;
  const found = new RegExp("row " + said.row + "\\b(?:, |: )?");
  return text.replace(found, all => (place.id === "result" ? "" : all.replace(/\d+/, said.row + 1)));
}

function problem(place, said) {
  place.replaceChildren(make("p", told(place, said), { class: "problem" }));
  const at = schema ? schema.features.findIndex(one => one.name === said.field) : -1;
  if (at >= 0 && $("field-" + at)) {
    $("field-" + at).setAttribute("aria-invalid", "true");
    if (place.id === "result") $("field-" + at).focus();
  }
}

function percent(share) {
  if (share < 0.0005) return "under 0.1 %";
  return share > 0.9995 ? "over 99.9 %" : (100 * share).toFixed(share > 0.0995 && share < 0.9005 ? 0 : 1) + " %";
}

function scale(share, cut) {
  const bar = make("div", null, { class: "scale", "aria-hidden": "true" }), inner = make("div", null, { class: "share" });
  inner.style.width = 100 * share + "%";
  bar.append(inner);
  if (cut !== null) {
    const line = make("div", null, { class: "cut" });
    line.style.left = 100 * cut + "%";
    bar.append(line);
  }
  return bar;
}

function flags(list) {
  const box = make("ul", null, { class: "flags" });
  for (const one of list) box.append(make("li", one.field + ": " + one.what));
  return box;
}

function answer(said) {
  const one = said.rows[0], box = make("div", null, { class: "said" });
  box.append(make("p", one.class, { class: "class" }));
  if (said.threshold !== null) {
    box.append(scale(one.probability, said.threshold));
    box.append(make("p", "Probability of " + said.positive + ": " + percent(one.probability) + ". Called so from " + percent(said.threshold) + "."));
  } else {
    const sorted = Object.entries(one.probabilities).sort((a, b) => b[1] - a[1]).filter((pair, at) => at === 0 || pair[1] >= 0.001).slice(0, 8);
    for (const [name, share] of sorted) box.append(make("p", name + ": " + percent(share)), scale(share, null));
  }
  const off = schema.measured?.ece?.mean ?? 0;
  if (off >= LEAST_OFF) box.append(make("p", "On rows kept aside such probabilities were off by " + Math.round(100 * off) + " points on average: take them as an order, not as frequencies.", { class: "soft" }));
  if (one.flags.length) box.append(make("h3", "Unlike training"), flags(one.flags));
  return box;
}

function head(names) {
  const line = make("tr");
  for (const name of names) line.append(make("th", name, { scope: "col" }));
  const all = make("thead");
  all.append(line);
  return all;
}

function why(one) {
  const kept = one.reasons.filter(reason => Math.abs(reason.adds) >= Math.max(LEAST_REASON, 2 * reason.error)).slice(0, MOST_REASONS);
  const box = make("div");
  box.append(make("h3", "What speaks for and against " + one.of));
  if (!kept.length) {
    box.append(make("p", "Nothing here differs from a usual row in a way that matters."));
    return box;
  }
  box.append(make("p", "Against a usual row, in log-odds: what the model made of these values, not what would happen if somebody changed them.", { class: "soft" }));
  const table = make("table", null, { class: kept.some(reason => reason.usual) ? "reasons" : "reasons bare" }), body = make("tbody"), most = Math.abs(kept[0].adds);
  for (const reason of kept) {
    const line = make("tr"), cell = make("td"), bar = make("div", null, { class: "bar", "aria-hidden": "true" });
    const up = reason.adds > 0, stripe = make("i", null, { class: up ? "up" : "down" });
    stripe.style.width = 50 * Math.abs(reason.adds) / most + "%";
    bar.append(stripe);
    cell.append(bar);
    const name = make("td", reason.value && reason.value !== reason.name ? reason.name + " = " + reason.value : reason.name);
    line.append(name, make("td", reason.usual, { class: "usual soft" }), cell, make("td", (up ? "+" : "−") + Math.abs(reason.adds).toFixed(2), { class: "number" }));
    body.append(line);
  }
  const top = head(["Here", "Usual", "against | for", "adds"]);
  top.rows[0].cells[1].className = "usual";
  top.rows[0].cells[3].className = "number";
  table.append(top, body);
  const scroll = make("div", null, { class: "scroll" });
  scroll.append(table);
  box.append(scroll);
  return box;
}

async function answer_one(event) {
  event.preventDefault();
  const place = $("result");
  document.querySelectorAll("[aria-invalid]").forEach(one => one.removeAttribute("aria-invalid"));
  $("answer").disabled = true;
  try {
    const body = JSON.stringify({ rows: [await row()] });
    const box = answer(await ask("predict", body, "application/json"));
    place.replaceChildren(box);
    const waiting = make("p", "Looking for the reasons …", { class: "soft" });
    box.append(waiting);
    try {
      waiting.replaceWith(why((await ask("explain", body, "application/json")).rows[0]));
    } catch (said) {
      waiting.textContent = said.error || "No reasons could be given.";
    }
  } catch (said) {
    problem(place, said);
  } finally {
    $("answer").disabled = false;
  }
}

function quoted(value) {
  const text = String(value);
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function as_csv(said) {
  const names = Object.keys(said.rows[0].probabilities);
  const lines = [["row", "predicted_class", ...names.map(name => "probability_" + name), "flags"]];
  said.rows.forEach((one, at) => lines.push([at + 1, one.class, ...names.map(name => one.probabilities[name]), one.flags.map(flag => flag.field + ": " + flag.what).join("; ")]));
  return lines.map(line => line.map(quoted).join(",")).join("\n") + "\n";
}

async function answer_file() {
  const file = $("file").files[0], place = $("results");
  if (!file) return;
  place.replaceChildren(make("p", "Reading …", { class: "soft" }));
  let said;
  try {
    said = await ask("predict", await file.arrayBuffer(), "text/csv");
  } catch (wrong) {
    problem(place, wrong);
    return;
  }
  const counts = {};
  for (const one of said.rows) counts[one.class] = (counts[one.class] || 0) + 1;
  const odd = said.rows.filter(one => one.flags.length).length;
  const called = Object.entries(counts).map(([name, count]) => name + ": " + whole(count)).join(", ");
  const summary = whole(said.rows.length) + " rows, called " + called + (odd ? "; with something unlike training: " + whole(odd) : "") + ".";
  const link = make("a", "Save the answers as CSV", { download: "answers.csv", href: URL.createObjectURL(new Blob([as_csv(said)], { type: "text/csv" })) });
  const saving = make("p");
  saving.append(link);
  const table = make("table", null, { class: "answers" }), body = make("tbody");
  said.rows.slice(0, MOST_SHOWN).forEach((one, at) => {
    const line = make("tr");
    line.append(make("td", at + 1, { class: "number" }), make("td", one.class), make("td", percent(one.probability), { class: "number" }), make("td", one.flags.map(flag => flag.field + ": " + flag.what).join("; ")));
    body.append(line);
  });
  table.append(head(["Row", "Class", "Probability" + (said.threshold === null ? "" : " of " + said.positive), "Unlike training"]), body);
  const scroll = make("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Answers" });
  scroll.append(table);
  place.replaceChildren(make("p", summary), saving);
  if (said.rows.length > MOST_SHOWN) place.append(make("p", "The first " + MOST_SHOWN + " are shown.", { class: "soft" }));
  place.append(scroll);
}

async function begin() {
  try {
    schema = await ask("schema");
  } catch (said) {
    $("about").textContent = said.error || "The service does not answer.";
    return;
  }
  $("access").hidden = true;
  document.title = (schema.title || schema.task) + " - evenhand";
  $("title").textContent = schema.title || schema.task;
  $("about").textContent = schema.target + ": which of " + schema.classes.slice(0, 12).join(", ") + (schema.classes.length > 12 ? ", …" : "") + "? Answered by " + schema.entry + ", learnt from " + whole(schema.rows) + " rows.";
  $("fields").replaceChildren(...schema.features.map(field));
  $("usual").hidden = schema.modality !== "tabular";
  $("many").hidden = schema.modality === "image";
}

$("ask").addEventListener("submit", answer_one);
$("usual").addEventListener("click", () => schema.features.forEach((one, at) => { $("field-" + at).value = usual(one); }));
$("file").addEventListener("change", answer_file);
$("access").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  begin();
});
begin();
