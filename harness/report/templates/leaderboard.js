"use strict";
(() => {
  const root = document.documentElement, body = document.body;

  /* Theme: auto, light, dark */
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const stored = () => { try { return localStorage.getItem("sr-harness-theme"); } catch { return null; } };
  const setTheme = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("sr-harness-theme", theme); } catch { /* a page from disk may have no storage */ }
  };
  setTheme(themes.includes(stored()) ? stored() : "auto");
  button.hidden = false;
  button.addEventListener("click", () => setTheme(themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % 3]));

  /* Sorting: stable, rows without a value last */
  const table = document.getElementById("board");
  if (!table) return;
  const tbody = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, at, text) => {
    const raw = row.cells[at].dataset.v;
    return raw === undefined ? null : text ? raw : Number(raw);
  };
  const sort = (at, direction) => {
    const text = heads[at].dataset.key === "model", sign = direction === "ascending" ? 1 : -1;
    const compare = text ? new Intl.Collator(undefined, { numeric: true }).compare : (a, b) => a - b;
    const keyed = [...tbody.rows].map((row) => [value(row, at, text), Number(row.dataset.at), row]);
    keyed.sort(([a, i], [b, j]) => a === null || b === null ? (a === null) - (b === null) || i - j : sign * compare(a, b) || i - j);
    tbody.append(...keyed.map((entry) => entry[2]));
    heads.forEach((head, index) => index === at ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort"));
    body.dataset.order = heads[at].dataset.key === "rank" && direction === "ascending" ? "rank" : "other";
  };
  heads.forEach((head, at) => {
    const control = document.createElement("button"), unit = head.querySelector(".unit");
    control.type = "button";
    control.append(...[...head.childNodes].filter((node) => node !== unit));
    head.prepend(control);
    control.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort"), first = head.dataset.first;
      sort(at, now === null ? first : now === "ascending" ? "descending" : "ascending");
    });
  });
  heads[0].setAttribute("aria-sort", "ascending");

  /* Figures: figures of the model under the pointer; a click leads to its row */
  const tip = document.getElementById("tip");
  const titles = heads.map((head) => [head.querySelector("button").textContent, head.querySelector(".unit")?.textContent ?? ""]);
  const describe = (row) => [...row.cells].map((cell, at) => {
    if (at === 0) return "";
    if (at === 1) return cell.querySelector(".name").textContent;
    const shown = (cell.querySelector(".rate") ?? cell.firstChild)?.textContent.trim() ?? "";
    return shown && shown !== "–" && at < heads.length - 1 ? `${titles[at][0]} ${shown} ${titles[at][1]}` : "";
  }).filter(Boolean).join("\n");
  const row = (mark) => document.getElementById(mark.dataset.row);
  const show = (event) => {
    const mark = event.target.closest("[data-row]");
    if (!mark || !row(mark)) { tip.hidden = true; return; }
    tip.textContent = describe(row(mark));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 8)}px`;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerleave", () => { tip.hidden = true; });
    plot.addEventListener("click", (event) => {
      const mark = event.target.closest("[data-row]");
      if (mark && row(mark)) location.hash = mark.dataset.row;
    });
  }
})();
