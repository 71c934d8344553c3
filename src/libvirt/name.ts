const searched = 64 * 1024;
const most = 1000;

/**
 * The domain's name out of its definition: the first `<name>` after `<domain`. For showing only; escape it. Null when there is
 * none near the beginning.
 */
export function libvirtName(xml: Uint8Array): string | null {
  const text = new TextDecoder().decode(xml.subarray(0, searched));
  const domain = text.indexOf("<domain");
  const start = domain === -1 ? -1 : text.indexOf("<name>", domain);
  const end = start === -1 ? -1 : text.indexOf("</name>", start);
  if (end === -1 || end - start > most) return null;
  const name = text.slice(start + "<name>".length, end);
  return name.replace(/&(lt|gt|amp|quot|apos);/g, (_, entity: string) => entities[entity] ?? "");
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
