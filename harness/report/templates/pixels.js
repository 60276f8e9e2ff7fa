"use strict";
/* Pictures of one piece: all zoomed and moved together, two of them under a divider, or their errors on one scale. */
(() => {
  const main = document.getElementById("pixels"), form = document.getElementById("view"), duel = document.getElementById("duel");
  const divider = document.getElementById("divider"), stack = divider.parentElement, flicker = document.getElementById("flicker"), sections = [...document.querySelectorAll(".piece")];
  if (!sections.length) return;
  const sides = { left: duel.querySelector("[data-side=left]"), right: duel.querySelector("[data-side=right]") };
  const items = () => [...current().querySelectorAll("li")];
  const current = () => sections.find((section) => section.dataset.piece === form.elements.piece.value) ?? sections[0];
  const item = (key) => items().find((one) => one.dataset.key === key);
  const title = (one) => one.querySelector(".name").textContent;
  let place = { x: 0, y: 0 }, at = 50, shown = "both"; /* or "left" or "right", while they flicker */

  /* The error is |picture - truth|: the truth laid over it in difference mode, then mapped to colours by a filter */
  const dress = (shot, image, truth) => {
    const error = form.elements.error.checked;
    shot.classList.toggle("error", error);
    for (const old of shot.querySelectorAll(".truth")) old.remove();
    if (!error || !image || image.src === truth.src) { shot.classList.toggle("exact", error); return; }
    shot.classList.remove("exact");
    const over = truth.cloneNode();
    over.classList.add("truth");
    over.alt = "";
    over.loading = "eager";
    shot.append(over);
  };
  const fill = (shot, one) => {
    const image = one.querySelector("img").cloneNode();
    image.loading = "eager";
    shot.replaceChildren(image);
    return image;
  };
  const options = () => {
    for (const [name, fallback] of [["left", "reference"], ["right", items().find((one) => one.dataset.key.startsWith("m-"))?.dataset.key ?? "hr"]]) {
      const select = form.elements[name], before = select.value;
      select.replaceChildren(...items().map((one) => new Option(title(one), one.dataset.key)));
      select.value = item(before) ? before : fallback;
    }
  };
  const draw = () => {
    for (const section of sections) section.hidden = section !== current();
    const truth = item("hr").querySelector("img");
    for (const one of items()) dress(one.querySelector(".shot"), one.querySelector("img"), truth);
    const names = duel.querySelectorAll(".sides bdi");
    ["left", "right"].forEach((side, at) => {
      const one = item(form.elements[side].value);
      dress(sides[side], fill(sides[side], one), truth);
      names[at].textContent = title(one);
    });
    const zoom = Number(form.elements.zoom.value);
    form.elements.zoom.nextElementSibling.textContent = `${Number(zoom.toFixed(1))}×`;
    main.style.setProperty("--zoom", zoom);
    for (const view of document.querySelectorAll(".overview")) view.hidden = view.dataset.of !== current().dataset.piece;
    const full = Number(form.elements.full.value), gain = (255 / full / 3).toFixed(3);
    document.getElementById("error-gain").setAttribute("values", `${`${gain} ${gain} ${gain} 0 0 `.repeat(3)}0 0 0 0 1`);
    document.getElementById("most").textContent = full;
    document.getElementById("scale").hidden = !form.elements.error.checked;
    move(0, 0);
    write();
  };
  const move = (dx, dy) => {
    const room = 50 * (1 - 1 / Number(form.elements.zoom.value));
    place = { x: Math.max(-room, Math.min(room, place.x + dx)), y: Math.max(-room, Math.min(room, place.y + dy)) };
    main.style.setProperty("--x", `${place.x}%`);
    main.style.setProperty("--y", `${place.y}%`);
  };
  const cut = (to = at) => {
    at = Math.max(0, Math.min(100, to));
    duel.style.setProperty("--cut", `${{ both: at, left: 100, right: 0 }[shown]}%`);
    divider.hidden = shown !== "both";
    divider.setAttribute("aria-valuenow", String(Math.round(at)));
    duel.dataset.shown = shown;
  };
  /* The point under the pointer stays where it is */
  const zoomAt = (factor, clientX, clientY) => {
    const before = Number(form.elements.zoom.value), after = Math.max(1, Math.min(16, before * factor)), box = stack.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) / box.width - 0.5, (clientY - box.top) / box.height - 0.5];
    form.elements.zoom.step = "any";
    form.elements.zoom.value = after;
    place = { x: place.x + 100 * x * (1 / after - 1 / before), y: place.y + 100 * y * (1 / after - 1 / before) };
    draw();
  };

  const write = () => {
    const words = new URLSearchParams();
    for (const name of ["piece", "left", "right", "zoom"]) words.set(name, form.elements[name].value);
    if (form.elements.error.checked) words.set("error", form.elements.full.value);
    history.replaceState(null, "", `#${words}`);
  };
  const read = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    if (sections.some((section) => section.dataset.piece === words.get("piece"))) form.elements.piece.value = words.get("piece");
    options();
    for (const side of ["left", "right"]) if (item(words.get(side))) form.elements[side].value = words.get(side);
    if (words.get("zoom")) { form.elements.zoom.step = "any"; form.elements.zoom.value = words.get("zoom"); }
    form.elements.error.checked = words.has("error");
    if ([...form.elements.full.options].some((option) => option.value === words.get("error"))) form.elements.full.value = words.get("error");
  };

  form.addEventListener("input", (event) => { if (event.target.name === "piece") options(); draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  flicker.addEventListener("click", () => flip());
  const flip = () => {
    shown = { both: "left", left: "right", right: "left" }[shown];
    flicker.setAttribute("aria-pressed", "true");
    cut();
  };
  const together = () => { shown = "both"; flicker.setAttribute("aria-pressed", "false"); cut(); };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "f" || event.key === "F") flip();
    if (event.key === "Escape") together();
  });
  let pulled = false;
  divider.addEventListener("pointerdown", (event) => { pulled = true; divider.setPointerCapture(event.pointerId); event.stopPropagation(); event.preventDefault(); divider.focus(); });
  divider.addEventListener("pointermove", (event) => { if (pulled) { const box = stack.getBoundingClientRect(); cut(100 * (event.clientX - box.left) / box.width); } });
  for (const name of ["pointerup", "pointercancel"]) divider.addEventListener(name, () => { pulled = false; });
  divider.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 2, ArrowRight: at + 2, Home: 0, End: 100 }[event.key];
    if (to !== undefined) { cut(to); event.preventDefault(); }
  });
  /* The wheel zooms over the large picture alone, and scrolls the page where there is nothing left to zoom */
  stack.addEventListener("wheel", (event) => {
    const zoom = Number(form.elements.zoom.value), factor = Math.exp(-event.deltaY / 400);
    if ((factor < 1 && zoom <= 1) || (factor > 1 && zoom >= 16)) return;
    event.preventDefault();
    zoomAt(factor, event.clientX, event.clientY);
  }, { passive: false });
  let drag = null;
  const fingers = new Map();
  main.addEventListener("pointerdown", (event) => {
    const shot = event.target.closest(".shot");
    if (!shot) return;
    fingers.set(event.pointerId, event);
    drag = fingers.size === 1 ? { x: event.clientX, y: event.clientY, far: 0, shot } : null;
    event.preventDefault();
  });
  addEventListener("pointermove", (event) => {
    if (fingers.size === 2 && fingers.has(event.pointerId)) {
      const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId), before = fingers.get(event.pointerId);
      const far = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      if (far(before) > 0) zoomAt(far(event) / far(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      fingers.set(event.pointerId, event);
      return;
    }
    if (!drag) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y, unit = 100 / (drag.shot.clientWidth * Number(form.elements.zoom.value));
    drag = { ...drag, x: event.clientX, y: event.clientY, far: drag.far + Math.abs(dx) + Math.abs(dy) };
    move(dx * unit, dy * unit);
  });
  addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); drag = null; });
  addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    const one = drag && drag.far < 4 ? drag.shot.closest("li") : null;
    drag = null;
    if (one) { form.elements.right.value = one.dataset.key; draw(); }
  });
  addEventListener("hashchange", () => { read(); draw(); });

  form.hidden = false;
  duel.hidden = false;
  read(); draw(); cut();
})();
