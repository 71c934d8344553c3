/** A QEMU command line for one of several that are started from it: its number in it, sockets and files of its own. */
import { optionsOf } from "./arguments.ts";
import { splitOption } from "./redact.ts";

const placeholder = "{n}";

export interface OwnArguments {
  readonly argv: readonly string[];
  /** Paths that got the number, because they would have been the same for all: as they are now. */
  readonly numbered: readonly string[];
}

/** Options whose value is a file that QEMU makes. */
const written: ReadonlySet<string> = new Set(["pidfile", "D"]);
/** Options whose value is a character device. */
const devices: ReadonlySet<string> = new Set(["qmp", "qmp-pretty", "monitor", "serial", "parallel", "debugcon", "gdb"]);

/**
 * Puts the number in the place of `{n}`, and behind the path of every socket that QEMU serves and every file that it makes, where no
 * `{n}` stood: QEMU takes a socket away from whoever serves it.
 *
 * @param n from 1
 */
export function ownArguments(argv: readonly string[], n: number): OwnArguments {
  const [program = "", ...words] = argv;
  const numbered: string[] = [];
  const number = (path: string): string => {
    const own = `${path}.${n}`;
    numbered.push(own.replaceAll(",,", ","));
    return own;
  };
  const items = optionsOf(words).flatMap(({ option, words: [first = "", value] }) => {
    if (value === undefined) return [first.replaceAll(placeholder, String(n))];
    if (value.includes(placeholder)) return [first, value.replaceAll(placeholder, String(n))];
    return [first, ownValue(option ?? "", value, number)];
  });
  return { argv: [program, ...items], numbered };
}

function ownValue(option: string, value: string, number: (path: string) => string): string {
  if (written.has(option)) return number(value);
  if (option === "vnc" && value.startsWith("unix:")) return ownPart(value, "unix:", number);
  if (devices.has(option)) {
    if (/^unix:/.test(value) && serves(value)) return ownPart(value, "unix:", number);
    return value.startsWith("file:") ? ownPart(value, "file:", number) : value;
  }
  if (option !== "chardev") return value;
  const [kind = ""] = splitOption(value);
  const makes = kind === "file" || kind === "pipe" || kind === "pty" || (kind === "socket" && serves(value));
  if (!makes) return value;
  return splitOption(value)
    .map((part) => (part.startsWith("path=") ? `path=${number(part.slice(5))}` : part))
    .join(",");
}

/** The first part of a value is `PREFIX` and a path. */
function ownPart(value: string, prefix: string, number: (path: string) => string): string {
  const [first = "", ...rest] = splitOption(value);
  return [`${prefix}${number(first.slice(prefix.length))}`, ...rest].join(",");
}

function serves(value: string): boolean {
  return splitOption(value).some((part) => /^server(?:=on|=yes)?$/.test(part));
}
