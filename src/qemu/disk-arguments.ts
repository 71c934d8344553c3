/** A QEMU command line with overlays in the place of its disks' images. */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { FixedramError } from "../errors.ts";
import { optionsOf } from "./arguments.ts";
import { splitOption } from "./redact.ts";

/** A qcow2 file that stands in for an image. */
export interface Overlay {
  /** Absolute path of the image, as the snapshot recorded it. */
  readonly image: string;
  /** Absolute path of the qcow2 file that has it as its backing file. */
  readonly overlay: string;
}

export interface WithOverlays {
  readonly argv: readonly string[];
  /** Images that stood in the command line and were replaced. */
  readonly replaced: ReadonlySet<string>;
}

/** Options whose value is the image itself. QEMU finds out that it is qcow2. */
export const imageOptions: ReadonlySet<string> = new Set([
  "hda",
  "hdb",
  "hdc",
  "hdd",
  "sd",
  "mtdblock",
  "pflash",
  "fda",
  "fdb",
]);

/** Keys of a block node that belong to the image it had. */
const secretKeys = /(?:^|\.)(?:key-secret|encrypt\..*)$/;

/** One block node or drive: keys as QEMU names them, nested ones with dots; null: JSON's null. */
export type Fields = Map<string, string | null>;

/**
 * @param cwd the folder that relative names are meant for
 * @throws FixedramError `usage.clone-disk` where an image is named in a way that cannot be changed
 */
export function withOverlays(argv: readonly string[], cwd: string, overlays: readonly Overlay[]): WithOverlays {
  const [program = "", ...words] = argv;
  const work = new Work(cwd, overlays);
  const items = optionsOf(words).map((item) => ({ option: item.option, words: [...item.words] }));
  for (const item of items) work.replace(item);
  for (const item of items) work.follow(item);
  const result = items.flatMap((item) => item.words);
  for (const { image } of overlays) refuseMention(result, image);
  return { argv: [program, ...result], replaced: work.replaced };
}

interface Item {
  readonly option: string | null;
  readonly words: string[];
}

class Work {
  readonly replaced = new Set<string>();
  /** Protocol nodes whose file is an overlay now: what lies on them is qcow2. */
  readonly #nodes = new Set<string>();
  readonly #cwd: string;
  readonly #overlays: readonly Overlay[];

  constructor(cwd: string, overlays: readonly Overlay[]) {
    this.#cwd = cwd;
    this.#overlays = overlays;
  }

  replace(item: Item): void {
    const { option, words } = item;
    const last = words.length - 1;
    const value = words[last] ?? "";
    if (option === null || (imageOptions.has(option) && last === 1)) {
      const overlay = this.#standIn(value);
      if (overlay !== null) words[last] = overlay;
    } else if ((option === "drive" || option === "blockdev") && last === 1) {
      const { fields, text } = parseFields(value);
      if (this.#replaceIn(fields, option)) words[last] = text(fields);
    }
  }

  /** Format nodes on protocol nodes that were changed. */
  follow({ option, words }: Item): void {
    if (option !== "blockdev" || words.length !== 2) return;
    const { fields, text } = parseFields(words[1] ?? "");
    const below = fields.get("file");
    if (typeof below !== "string" || !this.#nodes.has(below)) return;
    becomeQcow2(fields, words.join(" "));
    words[1] = text(fields);
  }

  #replaceIn(fields: Fields, option: "drive" | "blockdev"): boolean {
    for (const key of ["file", "filename", "file.filename", "file.file.filename"]) {
      if (option === "drive" ? key === "filename" : key === "file") continue;
      const name = fields.get(key);
      const overlay = typeof name === "string" ? this.#standIn(name) : null;
      if (overlay === null) continue;
      fields.set(key, overlay);
      // A protocol node of its own; else the format's node is this one.
      if (key === "filename") {
        fields.set("driver", "file");
        const node = fields.get("node-name");
        if (typeof node === "string") this.#nodes.add(node);
        return true;
      }
      const driver = `${key.replace(/\.?filename$/, "")}.driver`;
      if (key !== "file" && fields.has(driver)) fields.set(driver, "file");
      becomeQcow2(fields, overlay);
      return true;
    }
    return false;
  }

  #standIn(name: string): string | null {
    const path = resolve(this.#cwd, name.replace(/^file:(?:\/\/(?=\/))?/, ""));
    const found =
      this.#overlays.find(({ image }) => image === path) ??
      this.#overlays.find(({ image }) => real(image) === real(path));
    if (found === undefined) return null;
    this.replaced.add(found.image);
    return found.overlay;
  }
}

/** A raw image's `offset` and an encrypted one's secrets cannot be said of an overlay; a backing node of its own is in the overlay's head. */
function becomeQcow2(fields: Fields, where: string): void {
  for (const key of fields.keys()) {
    const raw = (key === "offset" || key === "size") && (fields.get("driver") ?? fields.get("format")) === "raw";
    if (raw || secretKeys.test(key)) throw cannot(where, `${key} of its image`);
    if (key === "backing" || key.startsWith("backing.")) fields.delete(key);
  }
  if (fields.has("driver")) fields.set("driver", "qcow2");
  else fields.set("format", "qcow2");
}

/** Cuts a value into fields, one without `=` being empty text; `text` puts them together again in the form they had. */
export function parseFields(value: string): { readonly fields: Fields; readonly text: (fields: Fields) => string } {
  const json = parseJson(value);
  if (json !== null) return { fields: flatten(json), text: (fields) => JSON.stringify(nested(fields, json)) };
  const fields: Fields = new Map();
  const bare = new Set<string>();
  for (const part of splitOption(value)) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (equals < 0) bare.add(key);
    fields.set(key, equals < 0 ? "" : part.slice(equals + 1).replaceAll(",,", ","));
  }
  const write = ([key, text]: readonly [string, string | null]) =>
    bare.has(key) ? key : `${key}=${(text ?? "").replaceAll(",", ",,")}`;
  return { fields, text: (all) => [...all].map(write).join(",") };
}

type Json = { [key: string]: unknown };

function parseJson(text: string): Json | null {
  if (!/^\s*\{/.test(text)) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** No lists: they stay where they are. */
function flatten(json: Json, before = ""): Fields {
  const fields: Fields = new Map();
  for (const [key, value] of Object.entries(json)) {
    if (typeof value === "string" || value === null) fields.set(before + key, value);
    else if (typeof value === "number" || typeof value === "boolean") fields.set(before + key, String(value));
    else if (isRecord(value)) for (const [name, each] of flatten(value, `${before}${key}.`)) fields.set(name, each);
  }
  return fields;
}

/** The object with the text that `fields` have now; what is gone from them is left out. */
function nested(fields: Fields, json: Json, before = ""): Json {
  const out: Json = {};
  for (const [key, value] of Object.entries(json)) {
    const name = before + key;
    if (typeof value === "string" || value === null) {
      if (fields.has(name)) out[key] = fields.get(name);
    } else if (isRecord(value) && key !== "backing") out[key] = nested(fields, value, `${name}.`);
    else if (!isRecord(value)) out[key] = value;
    else if ([...fields.keys()].some((each) => each.startsWith(`${name}.`)))
      out[key] = nested(fields, value, `${name}.`);
  }
  return out;
}

/** An image that is still named would be written to by every clone. */
function refuseMention(words: readonly string[], image: string): void {
  const escaped = image.replaceAll(",", ",,");
  for (const word of words) {
    if (mentions(word, image) || mentions(word, escaped)) throw cannot(word, "this way to name it");
  }
}

/** The path stands in the word, and not as the beginning of a longer one. */
export function mentions(word: string, path: string): boolean {
  for (let at = word.indexOf(path); at >= 0; at = word.indexOf(path, at + 1)) {
    const next = word[at + path.length];
    if (next === undefined || /[,"'&;?\s}\]]/.test(next)) return true;
  }
  return false;
}

function cannot(where: string, what: string): FixedramError {
  return new FixedramError("usage.clone-disk", "a disk in QEMU's command line cannot be replaced by an overlay", {
    found: `${what}: ${where}`,
    hint: "Make an overlay for each clone yourself (qemu-img create -f qcow2 -b IMAGE -F FORMAT disk-1.qcow2), and name it in the command with {n}: file=disk-{n}.qcow2.",
  });
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
