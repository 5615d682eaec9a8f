"use strict";
// Sorting, filtering and folding of a report. Without it everything can be read.
(() => {
  const LIMIT = 15;
  const page = document.documentElement;
  page.classList.add("js");

  const createElement = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // What a cell is sorted by: the value it carries, or the first number of a column of numbers, or its text.
  const key = (cell, numeric) => {
    const stored = cell.dataset.v;
    const text = (stored ?? cell.textContent).trim();
    if (stored !== undefined && (stored === "" || !Number.isNaN(Number(stored)))) return stored === "" ? null : Number(stored);
    if (!numeric) return text === "–" || text === "" ? null : text;
    const match = text.replaceAll(",", "").replaceAll("−", "-").match(/[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return match ? Number(match[0]) : null;
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  const sort = (head) => {
    const table = head.closest("table");
    const numeric = head.classList.contains("r");
    const previous = head.getAttribute("aria-sort");
    const first = numeric && head.dataset.up === undefined ? "descending" : "ascending";
    const order = previous === null ? first : previous === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[head.cellIndex], numeric), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    show(table);
  };

  // The rows that pass the filter; without one, and folded, no more than the first few.
  const show = (table) => {
    const { passes, filtered, expanded } = states.get(table);
    let matches = 0;
    for (const row of table.tBodies[0].rows) {
      const passing = passes(row);
      row.hidden = !passing || (!filtered && !expanded && matches >= LIMIT);
      matches += passing;
    }
    return matches;
  };

  const states = new Map();
  for (const table of document.querySelectorAll("table")) {
    if (!table.tBodies.length) continue;
    const rows = table.tBodies[0].rows.length;
    const state = { passes: () => true, filtered: false, expanded: rows <= LIMIT + 2 };
    states.set(table, state);
    // Rows that leave out what the row above them says belong below it.
    const sortable = [...table.tBodies[0].rows].every((row) => row.cells[0].textContent.trim() !== "");
    for (const head of rows > 1 && sortable ? table.tHead.rows[0].cells : []) {
      if (head.dataset.still !== undefined) continue;
      const button = createElement("button", "", { type: "button", class: "sort" });
      button.append(...head.childNodes);
      head.append(button);
    }
    if (!state.expanded) {
      const line = createElement("p", "", { class: "more" });
      const button = createElement("button", `Show all ${rows} rows`, { type: "button", "aria-expanded": "false" });
      button.addEventListener("click", () => {
        state.expanded = !state.expanded;
        button.textContent = state.expanded ? `Show the first ${LIMIT} rows` : `Show all ${rows} rows`;
        button.setAttribute("aria-expanded", String(state.expanded));
        show(table);
      });
      line.append(button);
      table.parentElement.after(line);
      show(table);
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".sort");
    if (button) sort(button.closest("th"));
  });

  for (const form of document.querySelectorAll(".controls")) {
    const table = form.parentElement.querySelector("table");
    const state = states.get(table);
    const inputs = [...form.querySelectorAll("input")];
    const unchecked = (group) =>
      new Set(inputs.filter((input) => input.dataset.of === group && !input.checked).map((input) => input.value));
    const all = table.tBodies[0].rows.length;
    const update = () => {
      const words = inputs.find((input) => input.dataset.of === "text").value.toLowerCase().split(/\s+/).filter(Boolean);
      const excluded = { family: unchecked("family"), strategy: unchecked("strategy"), stage: unchecked("stage") };
      state.filtered = words.length > 0 || Object.values(excluded).some((names) => names.size);
      state.passes = (row) =>
        Object.entries(excluded).every(([name, values]) => !values.has(row.dataset[name])) &&
        words.every((word) => row.querySelector("th").textContent.toLowerCase().includes(word));
      for (const group of ["decisions", "probabilities", "effort"])
        table.classList.toggle(`hide-${group}`, unchecked("group").has(group));
      for (const kind of unchecked("kind")) table.classList.add(`hide-${kind}`);
      for (const input of inputs)
        if (input.dataset.of === "kind" && input.checked) table.classList.remove(`hide-${input.value}`);
      const matches = show(table);
      form.querySelector("output").textContent = state.filtered ? `${matches} of ${all} entries` : `${all} entries`;
    };
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.reset();
    form.hidden = false;
    update();
  }

  const find = document.getElementById("find");
  if (find) {
    find.parentElement.hidden = false;
    find.addEventListener("input", () => {
      for (const item of document.querySelectorAll(".of-task"))
        item.hidden = !item.textContent.toLowerCase().includes(find.value.trim().toLowerCase());
    });
  }

  // What a link leads to is unfolded; on a narrow screen the contents begin folded; on paper nothing is.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
  if (matchMedia("(max-width: 1099px)").matches)
    for (const details of document.querySelectorAll("nav details")) details.open = false;
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
})();
