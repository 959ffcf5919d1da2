"use strict";

// Charts: colours are custom properties of CSS, so a change of the scheme needs no new drawing. `ast` interprets
// Vega's expressions, where it would else compile them, which the page's policy forbids.
const NARROW = 480; // pixels
for (const figure of document.querySelectorAll("#charts figure")) {
  const chart = figure.querySelector(".chart");
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const narrow = spec.usermeta?.narrow;
  if (narrow && chart.clientWidth < NARROW) {
    spec.height = narrow.height;
    for (const view of spec.layer ?? [spec]) Object.assign(view.encoding.y?.axis ?? {}, narrow.axis);
  }
  // Vega gives its place a role and a label of its own, so that it must not be the one that has the chart's.
  const place = chart.appendChild(document.createElement("div"));
  vegaEmbed(place, spec, { actions: false, ast: true, renderer: "svg" })
    .then(() => chart.dataset.drawn = "yes")
    .catch((error) => {
      place.textContent = `This chart cannot be drawn: ${error.message}`;
      chart.dataset.drawn = "no";
      console.error(error);
    });
}

// Tables
const words = new Intl.Collator("en", { numeric: true });

function key(row, column) {
  const cell = row.cells[column];
  if ("key" in cell.dataset) return Number(cell.dataset.key);
  return cell.classList.contains("number") ? "" : cell.textContent;
}

function compare(one, other, way) {
  const missing = (one === "") - (other === "");
  if (missing) return missing;
  const numbers = typeof one === "number" && typeof other === "number";
  return way * (numbers ? one - other : words.compare(one, other));
}

function sort(heading) {
  const table = heading.closest("table");
  const way = heading.ariaSort === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.ariaSort = "none";
  heading.ariaSort = way > 0 ? "ascending" : "descending";
  const rows = [...table.tBodies[0].rows].map((row) => [key(row, heading.cellIndex), row]);
  rows.sort((one, other) => compare(one[0], other[0], way));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => sort(button.parentElement));
}
