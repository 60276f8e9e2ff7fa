"use strict";
/* The rows and columns that are seen, as text for a spreadsheet, a README or a paper. */
(() => {
  if (!board) return;
  const numeric = (head) => !["rank", "model", "reparam"].includes(head.key);
  const title = (head) => head.unit && head.key !== "model" ? `${head.title}, ${head.unit}` : head.title;
  const quoted = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const csv = ({ heads, rows }) => [heads.map((head) => head.key), ...rows.map((row) => row.map((cell, i) => numeric(heads[i]) ? cell.raw : cell.text))]
    .map((line) => line.map(quoted).join(",")).join("\n") + "\n";

  const plain = (text) => text.replace(/[\\`*_[\]|$~!#]/g, "\\$&").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const markdown = ({ heads, rows }) => [heads.map(title), heads.map((head) => head.key === "model" ? ":--" : "--:"),
    ...rows.map((row) => row.map((cell) => cell.place === 1 ? `**${plain(cell.text)}**` : plain(cell.text)))]
    .map((line) => `| ${line.join(" | ")} |`).join("\n") + "\n";

  const special = { "\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", '"': "\\textquotedbl{}", "−": "-", "–": "--", "→": "$\\to$", "Δ": "$\\Delta$", "\u202f": "" };
  const tex = (text) => [...text].map((letter) => special[letter] ?? ("{}$&#%_".includes(letter) ? `\\${letter}` : letter < "\u0180" ? letter : "?")).join("");
  const figure = (cell) => {
    const text = cell.text.replace("−", "-").replaceAll("\u202f", "").replace("+", "");
    if (!/^-?[\d.]+$/.test(text)) return "{--}";
    return cell.place === 1 ? `\\bfseries ${text}` : cell.place === 2 ? `{\\underline{${text}}}` : text;
  };
  const format = (rows, i) => {
    const parts = rows.map((row) => row[i].text.replace("−", "").replaceAll("\u202f", "").replace("+", "")).filter((text) => /^[\d.]+$/.test(text)).map((text) => text.split("."));
    const widest = (part) => Math.max(part === 0 ? 1 : 0, ...parts.map((pair) => (pair[part] ?? "").length));
    return `S[table-format=${rows.some((row) => row[i].text.startsWith("−")) ? "-" : ""}${widest(0)}.${widest(1)}]`;
  };
  const latex = ({ heads, rows }) => [
    "% needs: \\usepackage{booktabs} and \\usepackage{siunitx}",
    `\\begin{tabular}{@{}${heads.map((head, i) => head.key === "rank" ? "r" : numeric(head) ? format(rows, i) : "l").join("")}@{}}`,
    "\\toprule", heads.map((head) => numeric(head) ? `{${tex(title(head))}}` : tex(title(head))).join(" & ") + " \\\\", "\\midrule",
    ...rows.map((row) => row.map((cell, i) => numeric(heads[i]) ? figure(cell) : tex(cell.text)).join(" & ") + " \\\\"),
    "\\bottomrule", "\\end{tabular}"].join("\n") + "\n";

  const forms = { csv, markdown, latex };
  const put = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not every browser lets a page from disk */ }
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const text = forms[button.dataset.copy](board.shown());
      button.textContent = await put(text) ? "copied" : "not allowed";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }
})();
