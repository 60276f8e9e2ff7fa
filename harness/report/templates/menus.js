"use strict";
/* Menus close at Escape and at a click elsewhere; a link to the facts of the run opens them. */
(() => {
  const open = () => [...document.querySelectorAll("details.menu[open]")];
  addEventListener("pointerdown", (event) => {
    for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
  for (const menu of document.querySelectorAll("details.menu")) {
    menu.addEventListener("toggle", () => { for (const other of open()) if (menu.open && other !== menu) other.open = false; });
  }
  const run = document.getElementById("run");
  document.querySelector('.contents a[href="#run"]')?.addEventListener("click", () => { run.open = true; });
})();
