"use strict";
const $ = id => document.getElementById(id);

function make(tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return element;
}

function call(path, method, kind, example, secured) {
  const lines = ["curl " + location.origin + path];
  if (secured && sessionStorage.getItem("token")) lines.push('-H "Authorization: Bearer $TOKEN"');
  if (method === "post") {
    const body = typeof example === "string" ? example : JSON.stringify(example, null, 1);
    lines.push("-H 'Content-Type: " + kind + "'", "--data-binary @- <<'END'\n" + body.trimEnd() + "\nEND");
  }
  return lines.join(" \\\n  ");
}

function describe(path, method, told, schemas) {
  const section = make("section"), secured = Boolean(told.security);
  section.append(make("h2", method.toUpperCase() + " " + path), make("p", told.summary));
  const bodies = told.requestBody ? Object.entries(told.requestBody.content) : [[null, {}]];
  for (const [kind, content] of bodies) section.append(make("pre", call(path, method, kind, content.example, secured)));
  const list = make("ul");
  for (const [status, response] of Object.entries(told.responses)) list.append(make("li", status + "  " + response.description));
  section.append(list);
  const answer = told.responses["200"].content["application/json"]?.schema?.$ref;
  if (answer) {
    const more = make("details"), name = answer.split("/").pop();
    more.append(make("summary", "The answer, as JSON Schema"), make("pre", JSON.stringify(schemas[name], null, 1)));
    section.append(more);
  }
  return section;
}

async function begin() {
  const token = sessionStorage.getItem("token");
  const response = await fetch("openapi.json", { headers: token ? { Authorization: "Bearer " + token } : {} }).catch(() => null);
  if (!response || !response.ok) {
    $("access").hidden = !response || response.status !== 401;
    $("about").textContent = response ? (await response.json()).error : "The service does not answer.";
    return;
  }
  const told = await response.json(), parts = [];
  $("access").hidden = true;
  $("about").textContent = told.info.title + ". " + told.info.description.replaceAll("`", "");
  for (const [path, methods] of Object.entries(told.paths)) {
    for (const [method, one] of Object.entries(methods)) parts.push(describe(path, method, one, told.components.schemas));
  }
  const rows = make("section"), list = make("ul");
  for (const [name, one] of Object.entries(told.components.schemas.Row.properties)) {
    list.append(make("li", name + " (" + [one.type].flat().join(", ") + ")" + (one.description ? ". " + one.description : "")));
  }
  rows.append(make("h2", "A row"), list);
  $("paths").replaceChildren(rows, ...parts);
}

$("access").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  begin();
});
begin();
