"use strict";
/* Figures: every figure of the model under the pointer; a click leads to its row. */
(() => {
  const tip = document.getElementById("tip"), table = document.getElementById("board");
  if (!tip || !table) return;
  const heads = [...table.tHead.rows[0].cells];
  const row = (mark) => document.getElementById(mark.dataset.row);
  const describe = (cells) => [cells[1].querySelector(".name").textContent, ...heads.map((head, at) => {
    const figure = cells[at].querySelector(".n")?.textContent.trim();
    return figure && figure !== "–" ? `${head.querySelector("button").textContent.trim()}  ${figure} ${head.querySelector(".unit")?.textContent ?? ""}` : "";
  }).filter(Boolean)].join("\n");
  const show = (event) => {
    const mark = event.target.closest("[data-row]");
    tip.hidden = !mark || !row(mark);
    if (tip.hidden) return;
    tip.textContent = describe(row(mark).cells);
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - box.height - 8))}px`;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerleave", () => { tip.hidden = true; });
    plot.addEventListener("click", (event) => {
      const mark = event.target.closest("[data-row]");
      if (mark && row(mark)) board.pick(mark.dataset.row);
    });
  }
})();
