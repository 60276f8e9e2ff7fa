"use strict";
/* Figures: every figure of the model under the pointer; a click leads to its row. */
const tip = (() => {
  const box = document.getElementById("tip");
  const hide = () => { box.hidden = true; };
  const show = (text, x, y) => {
    box.hidden = false;
    box.textContent = text;
    const size = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - size.width - 8))}px`;
    box.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - size.height - 8))}px`;
  };
  return { show, hide };
})();
(() => {
  if (!board) return;
  const row = (event) => document.getElementById(event.target.closest("[data-row]")?.dataset.row ?? "");
  for (const plot of document.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", (event) => {
      const found = row(event);
      if (found) tip.show(board.describe(found), event.clientX, event.clientY); else tip.hide();
    });
    plot.addEventListener("pointerleave", tip.hide);
    plot.addEventListener("click", (event) => { const found = row(event); if (found) board.pick(board.key(found)); });
  }
})();
