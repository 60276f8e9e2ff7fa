"use strict";
/* Asks for the page every other second, and takes over the parts that have changed. */
(() => {
  const parts = [...document.querySelectorAll("[data-live]")];
  const shown = new Map(parts.map((part) => [part.id, part.innerHTML]));
  const replace = (part, fresh) => {
    const chosen = [...part.querySelectorAll("select")].map((list) => [list.name, list.value]);
    const focused = part.contains(document.activeElement) ? document.activeElement.name : "";
    part.replaceChildren(...fresh.childNodes);
    for (const [name, value] of chosen) {
      const list = part.querySelector(`select[name="${name}"]`);
      if (list && [...list.options].some((option) => option.value === value)) list.value = value;
    }
    if (focused) part.querySelector(`[name="${focused}"]`)?.focus();
  };
  const say = (text) => { const place = document.getElementById("state"); if (place.textContent !== text) place.textContent = text; };
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("./");
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      for (const part of parts) {
        const fresh = page.getElementById(part.id), content = fresh.innerHTML;
        if (content !== shown.get(part.id)) replace(part, fresh);
        shown.set(part.id, content);
      }
    } catch {
      say("The server does not answer: the list is as it was.");
      shown.delete("state");
    }
  }, 2000);
})();
