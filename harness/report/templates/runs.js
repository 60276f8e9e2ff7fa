"use strict";
/* Asks for the list every other second; names are set as text. */
(() => {
  const body = document.getElementById("runs");
  const cell = (tag, text, left = true) => {
    const made = document.createElement(tag);
    if (left) made.className = "text";
    made.append(Object.assign(document.createElement("bdi"), { textContent: text }));
    return made;
  };
  const line = (run) => {
    const row = document.createElement("tr"), head = cell("th", run.folder);
    head.scope = "row";
    if (run.link) {
      const link = Object.assign(document.createElement("a"), { href: run.link });
      link.append(...head.childNodes);
      head.append(link);
    }
    row.append(head, cell("td", run.begun ? `${run.state}: ${run.begun}` : run.state), cell("td", run.created.slice(0, 16).replace("T", " ")),
      cell("td", run.track), cell("td", run.dataset), cell("td", run.device), cell("td", String(run.measured), false), cell("td", run.best));
    return row;
  };
  let shown = "";
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const text = await (await fetch("runs.json")).text();
      if (text !== shown) body.replaceChildren(...JSON.parse(text).map(line));
      shown = text;
    } catch { /* the server has gone: the list stays as it was */ }
  }, 2000);
})();
