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
  const state = (run) => {
    const made = document.createElement("td");
    made.className = "text";
    made.append(Object.assign(document.createElement("span"), { className: `status ${run.state}`, textContent: run.state }));
    if (run.state === "running") {
      const bar = Object.assign(document.createElement("progress"), { max: 1, value: run.share });
      bar.setAttribute("aria-label", "Share done");
      const doing = Object.assign(document.createElement("span"), { className: "second" });
      doing.append(Object.assign(document.createElement("bdi"), { textContent: run.begun }),
        run.begun && run.stage ? ": " : "", run.stage, run.left ? `, ${run.left}` : "");
      made.append(bar, doing);
    }
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
    row.append(head, state(run), cell("td", run.created.slice(0, 16).replace("T", " ")),
      cell("td", run.track), cell("td", run.dataset), cell("td", run.device), cell("td", run.total > run.measured ? `${run.measured} of ${run.total}` : String(run.measured), false), cell("td", run.best));
    return row;
  };
  const say = (text) => { const place = document.getElementById("state"); if (place.textContent !== text) place.textContent = text; };
  let shown = "";
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const text = await (await fetch("runs.json")).text();
      const runs = JSON.parse(text);
      if (text !== shown) body.replaceChildren(...runs.map(line));
      shown = text;
      say(runs.some((run) => run.state === "running") ? "A run is going on. The list keeps itself current while this page is open." : "The list keeps itself current while this page is open.");
    } catch { say("The server does not answer: the list is as it was."); }
  }, 2000);
})();
