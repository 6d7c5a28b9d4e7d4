// Sorts and filters the table of an exported file.
"use strict";
const body = document.querySelector("tbody");
const rows = [...body.rows];
const heads = [...document.querySelectorAll("thead th")];

/** What a cell is sorted by: a number where it is one. */
const key = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent;
  const number = text === "true" ? 1 : text === "false" ? 0 : Number(text);
  return text !== "" && Number.isFinite(number) ? number : text;
};

const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

heads.forEach((head, column) =>
  head.firstChild.addEventListener("click", () => {
    const order = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const sorted = order === "none" ? rows : [...rows].sort((a, b) => sign * compare(key(a, column), key(b, column)));
    body.append(...sorted);
  }),
);

document.querySelector("input").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  document.querySelector("output").textContent = String(rows.filter((row) => !row.hidden).length);
});
