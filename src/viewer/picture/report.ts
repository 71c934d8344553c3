import type { PageMap } from "../../pages/map.ts";
import type { ViewFile } from "../shared/protocol.ts";
import { count, hex, percent, size } from "../shared/units.ts";
import { escapeXml, svgPicture } from "./compose.ts";

const style = `
:root { color-scheme: light; font: 14px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1b222b; }
body { max-width: 1080px; margin: 24px auto; padding: 0 20px; background: #fff; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 28px 0 8px; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 3px 14px 3px 0; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 500; color: #5a6573; }
tr + tr > * { border-top: 1px solid #e6e9ed; }
td.n { white-space: nowrap; font-variant-numeric: tabular-nums; }
code { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
footer { margin-top: 28px; color: #5a6573; }
`;

const seals: Readonly<Record<ViewFile["seal"]["state"], string>> = {
  sealed: "sealed",
  none: "no seal",
  half: "half a seal",
  damaged: "sealed, and damaged since",
  stale: "a seal of another state of the file",
};

/** A page on its own: the map, and the main figures as text. No script, nothing from elsewhere. @param version ours */
export async function htmlReport(file: ViewFile, map: PageMap, version: string): Promise<string> {
  const facts: readonly (readonly [string, string | null])[] = [
    ["Machine", file.machine],
    ["Run state", file.runState],
    ["RAM", size(file.ram)],
    ["File", `${size(file.size)}${file.allocated === null ? "" : `, ${size(file.allocated)} on disk`}`],
    ["Kind", file.container],
    ["Seal", seals[file.seal.state]],
    ["Snapshot id", file.seal.id],
    ...file.facts,
  ];
  const rows = facts.flatMap(([name, value]) =>
    value === null ? [] : [`<tr><th>${escapeXml(name)}</th><td>${escapeXml(value)}</td></tr>`],
  );
  const title = file.path.split("/").at(-1) ?? "snapshot";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title><style>${style}</style></head><body>
<h1>${escapeXml(title)}</h1>
${await svgPicture(file, map)}
<h2>Snapshot</h2><table>${rows.join("")}</table>
<h2>RAM blocks</h2>${blocksTable(file)}
${memoryTable(file)}${disksTable(file)}
<footer>Made by fixedram ${escapeXml(version)}. It shows what the file holds, not whether it is undamaged: fixedram verify checks that.</footer>
</body></html>
`;
}

function blocksTable({ blocks }: ViewFile): string {
  const rows = blocks.slice(0, 500).map((block) => {
    const share = `${count(block.present)} of ${count(block.pages)} pages`;
    return `<tr><td>${escapeXml(block.label)}</td><td class="n">${size(block.length)}</td><td class="n">${share}</td><td class="n">${percent(block.present, block.pages)}</td></tr>`;
  });
  const left = blocks.length > 500 ? `<p>and ${count(blocks.length - 500)} more</p>` : "";
  return `<table><tr><th>name</th><th>length</th><th>in the file</th><th></th></tr>${rows.join("")}</table>${left}`;
}

function memoryTable({ memory, blocks }: ViewFile): string {
  if (memory === null) return "";
  const rows = memory.ranges.slice(0, 500).map(({ start, length, block, offset, readOnly }) => {
    const name = `${escapeXml(blocks[block]?.label ?? "")}${offset > 0 ? ` + ${hex(offset)}` : ""}${readOnly ? ", read-only" : ""}`;
    return `<tr><td><code>${hex(start)}</code></td><td class="n">${size(length)}</td><td>${name}</td></tr>`;
  });
  return `<h2>Physical memory</h2><table>${rows.join("")}</table><p>${escapeXml(memory.note)}</p>`;
}

function disksTable({ disks }: ViewFile): string {
  if (disks.length === 0) return "";
  const rows = disks.map(
    ({ device, path, format, size: bytes }) =>
      `<tr><td>${escapeXml(device)}</td><td>${escapeXml(path)}</td><td>${escapeXml(format)}</td><td class="n">${bytes === null ? "" : size(bytes)}</td></tr>`,
  );
  return `<h2>Disks at the save</h2><table>${rows.join("")}</table>`;
}
