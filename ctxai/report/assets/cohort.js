"use strict";
// The table of all nodules: a click on a heading sorts, the fields above it filter.

for (const table of document.querySelectorAll("table.cohort")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const search = document.getElementById("cohort-search");
  const kind = document.getElementById("cohort-kind");
  const count = document.getElementById("cohort-count");

  const filter = () => {
    const words = search.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const named = words.every((word) => row.dataset.text.includes(word));
      row.hidden = !(named && (kind.value === "" || row.dataset.kinds.split(" ").includes(kind.value)));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length} nodules`;
  };

  /** Numbers by size, texts by alphabet, the unknown always last. */
  const compare = (a, b, direction) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [Number(a), Number(b)];
    const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
    return direction * order;
  };

  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button")?.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const keyed = rows.map((row) => [row.cells[column].dataset.value, row]);
      keyed.sort(([a], [b]) => compare(a, b, ascending ? 1 : -1));
      body.append(...keyed.map(([, row]) => row));
    });
  });
  search.addEventListener("input", filter);
  kind.addEventListener("input", filter);
  filter();
}
