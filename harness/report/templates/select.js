"use strict";
/* A click on a row selects it; with the keyboard, the arrows go from row to row and Enter selects. */
(() => {
  if (!board) return;
  const tbody = document.getElementById("board").tBodies[0];
  const visible = () => [...tbody.rows].filter((row) => !row.hidden && !row.classList.contains("later"));
  let stop = null; /* the row that the Tab key reaches */
  const rove = (row) => { stop?.removeAttribute("tabindex"); stop = row; stop?.setAttribute("tabindex", "0"); };
  const refresh = () => { if (!stop || stop.hidden || stop.classList.contains("later")) rove(visible()[0] ?? null); };
  tbody.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || event.target.closest("a, button, summary") || String(getSelection())) return;
    rove(row);
    board.pick(board.picked() === board.key(row) ? "" : board.key(row), false);
  });
  tbody.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.target !== row) return;
    const all = visible(), to = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (to !== undefined) {
      const next = all[all.indexOf(row) + to];
      if (next) { rove(next); next.focus(); }
    } else if (event.key === "Enter" || event.key === " ") board.pick(board.key(row), false);
    else return;
    event.preventDefault();
  });
  document.addEventListener("board", refresh);
  refresh();
})();
