/** What several QEMUs that are started from one command line would all write to: disks, and files that hold RAM. */
import { readFileSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { type ArgumentItem, optionsOf } from "./arguments.ts";
import { type Fields, imageOptions, parseFields } from "./disk-arguments.ts";

const placeholder = "{n}";

/** Keys that name no image, so that a `{n}` in them makes none a clone's own. */
const noImage = /^(?:id|node-name|serial|werror|rerror|detect-zeroes|throttling\..*|throttle-group)$/;
/** Keys of `-drive` that open nothing by themselves. */
const driveOnly =
  /^(?:id|if|index|bus|unit|media|serial|cache(?:\..*)?|aio|discard|werror|rerror|detect-zeroes|readonly|read-only|auto-read-only|copy-on-read|snapshot|node-name|throttling\..*|(?:bps|iops)[_-].*|group|cyls|heads|secs|trans|addr|force-share)$/;
/** Nothing can be written to what comes over these. */
const readOnlyName = /^(?:https?|ftps?):/;

/**
 * Finds the first writable disk that stands in the command as it is for all: no overlay has taken its place, it is not read-only, what
 * is written does not end with QEMU (`snapshot=on`), and no `{n}` stands in the name of its image, wherever that lies.
 *
 * @param argv with `{n}` in it
 * @param replaced the same with the number and the overlays of one clone, word for word
 * @param numbered the same with the number alone
 * @returns its option and value; null: there is none
 */
export function sharedDisk(
  argv: readonly string[],
  numbered: readonly string[],
  replaced: readonly string[],
  cwd: string,
): string | null {
  const items: Placed[] = [];
  const program = programAt(argv);
  let at = 1;
  for (const item of optionsOf(argv.slice(1))) {
    const changed = item.words.some((_, i) => numbered[at + i] !== replaced[at + i]);
    items.push({ ...item, changed: changed || (item.option === null && at <= program) });
    at += item.words.length;
  }
  const temporary = items.some(({ option }) => option === "snapshot");
  const nodes = new Nodes(items);
  const found = items.find((item) => {
    if (item.changed) return false;
    const { option, words } = item;
    const value = words[1] ?? "";
    if (option === null) return !temporary && !value.includes(placeholder) && !words[0]?.includes(placeholder);
    if (words.length !== 2) return false;
    if (imageOptions.has(option)) return !temporary && !value.includes(placeholder);
    if (option === "drive") return !temporary && sharedDrive(parseFields(value).fields);
    if (option === "blockdev") return nodes.shared(value);
    return option === "readconfig" && holdsDisks(resolve(cwd, value));
  });
  return found?.words.join(" ") ?? null;
}

/**
 * Finds the first `memory-backend-file` with `share=on` whose file is the same for all: each QEMU would load its guest over the others'.
 * A folder is none: every QEMU makes a file of its own there.
 *
 * @param cwd the folder that relative names are meant for
 * @returns its option and value; null: there is none
 */
export function sharedMemory(argv: readonly string[], cwd: string): string | null {
  const found = optionsOf(argv.slice(1)).find(({ option, words }) => {
    if (option !== "object" || words.length !== 2) return false;
    const { fields } = parseFields(words[1] ?? "");
    const isFile = fields.get("qom-type") === "memory-backend-file" || fields.has("memory-backend-file");
    const path = fields.get("mem-path") ?? "";
    return isFile && isOn(fields, "share") && !path.includes(placeholder) && !isFolder(resolve(cwd, path));
  });
  return found?.words.join(" ") ?? null;
}

interface Placed extends ArgumentItem {
  /** An overlay stands in it, or it is no image. */
  readonly changed: boolean;
}

/** Behind `sudo`, `taskset` and the like. */
function programAt(argv: readonly string[]): number {
  return argv[0]?.includes("qemu")
    ? 0
    : argv.findIndex((word) => /^(?:qemu-system-|qemu-kvm|kvm$)/.test(basename(word)));
}

function sharedDrive(fields: Fields): boolean {
  const opens = [...fields].some(([key, value]) => !driveOnly.test(key) && !(key === "file" && value === ""));
  if (!opens || isReadOnly(fields) || isOn(fields, "snapshot") || fields.get("media") === "cdrom") return false;
  return isShared(fields);
}

/** The block nodes of a command and what lies on them. */
class Nodes {
  readonly #all: readonly Fields[];
  readonly #others: readonly string[];

  constructor(items: readonly ArgumentItem[]) {
    const isNode = ({ option, words }: ArgumentItem) => option === "blockdev" && words.length === 2;
    this.#all = items.filter(isNode).map(({ words }) => parseFields(words[1] ?? "").fields);
    this.#others = items.filter((item) => !isNode(item)).map(({ words }) => words[1] ?? "");
  }

  shared(value: string): boolean {
    const { fields } = parseFields(value);
    const below = fields.get("file");
    // A format or a filter: the node below it is looked at.
    if (typeof below === "string" && this.#all.some((node) => node.get("node-name") === below)) return false;
    return !this.#readOnly(fields, 0) && isShared(fields);
  }

  /** It, or everything that it is used by. */
  #readOnly(node: Fields, depth: number): boolean {
    if (isReadOnly(node)) return true;
    const name = node.get("node-name");
    if (typeof name !== "string" || depth > 16) return false;
    const parts = [`=${name}`, `"${name}"`];
    if (this.#others.some((value) => parts.some((part) => value.includes(part)))) return false;
    const uses = this.#all.flatMap((user) =>
      [...user].filter(([key, value]) => key !== "node-name" && value === name).map(([key]) => ({ user, key })),
    );
    return uses.length > 0 && uses.every(({ user, key }) => key === "backing" || this.#readOnly(user, depth + 1));
  }
}

function isShared(fields: Fields): boolean {
  const driver = fields.get("driver") ?? fields.get("format") ?? "";
  if (/^null-(?:co|aio)$/.test(driver)) return false;
  if (["file", "filename", "file.filename"].some((key) => readOnlyName.test(fields.get(key) ?? ""))) return false;
  return ![...fields].some(([key, value]) => !noImage.test(key) && value?.includes(placeholder));
}

function isReadOnly(fields: Fields): boolean {
  return isOn(fields, "readonly") || isOn(fields, "read-only");
}

/** A key without a value is on. */
function isOn(fields: Fields, key: string): boolean {
  return fields.has(key) && /^(?:on|yes|true|y|)$/.test(fields.get(key) ?? "off");
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** What QEMU reads from elsewhere is not looked into further. */
function holdsDisks(path: string): boolean {
  try {
    return /^\s*\[\s*(?:drive|blockdev|object)\b/m.test(readFileSync(path, "utf8"));
  } catch {
    return true;
  }
}
