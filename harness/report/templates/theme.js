"use strict";
/* Theme: auto, light, dark; kept where the browser lets a page from disk keep anything. */
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"], key = "sr-harness-theme";
  const stored = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const set = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    dispatchEvent(new Event("theme"));
    try { localStorage.setItem(key, theme); } catch { /* no storage: the choice lasts as long as the page */ }
  };
  set(themes.includes(stored()) ? stored() : "auto");
  button.hidden = false;
  button.addEventListener("click", () => set(themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % 3]));
})();
