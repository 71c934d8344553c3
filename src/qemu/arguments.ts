/** A user's QEMU command line made fit to be started by us: deferred incoming migration, a QMP socket of ours, no detaching. */
import { FixedramError } from "../errors.ts";

/** The form of operations' notices. */
export interface StartNotice {
  readonly level: "note" | "warning";
  readonly code: string;
  readonly message: string;
}

export interface PreparedArgv {
  readonly argv: readonly string[];
  readonly notices: readonly StartNotice[];
  /** `-S`: the guest is to stay paused. */
  readonly paused: boolean;
}

export interface PrepareOptions {
  /** Path of the QMP socket to add. */
  readonly qmp: string;
  /** Adds `-incoming defer`; default true. */
  readonly incoming?: boolean;
  /** QEMU has no terminal: a monitor on stdio is taken away. */
  readonly captured?: boolean;
  /** Whether a file at this path holds the pid of a living process. */
  readonly pidfileInUse?: (path: string) => boolean;
  /** Whether somebody listens at this unix path. */
  readonly socketInUse?: (path: string) => boolean;
}

/** Options without a value. Everything else that begins with a dash takes the next argument as its value. */
const switches: ReadonlySet<string> = new Set(
  `daemonize S s snapshot nographic no-reboot no-shutdown nodefaults no-user-config nodefconfig enable-kvm no-kvm usb no-acpi
  no-hpet preconfig full-screen h help version mem-prealloc no-fd-bootchk win2k-hack portrait singlestep only-migratable old-param
  semihosting xen-attach xen-domid-restrict alt-grab ctrl-grab no-quit no-frame sdl curses enable-fips async-teardown
  show-cursor one-insn-per-tb nouserconfig`.split(/\s+/),
);

/** An option with its value, as QEMU cuts its command line. */
export interface ArgumentItem {
  /** Without dashes; null for a word that is no option (a disk image). */
  readonly option: string | null;
  readonly words: readonly string[];
}

/**
 * Removes, with a notice, what would be in our way, and adds what we need.
 *
 * Errors: `usage.no-command` (nothing to run), `usage.qemu-option` (an option that cannot go together with loading a snapshot).
 */
export function prepareArgv(command: readonly string[], options: PrepareOptions): PreparedArgv {
  const [program, ...words] = command;
  if (program === undefined || program === "") {
    throw new FixedramError("usage.no-command", "there is no QEMU command to run", {
      hint: "Give it after --, for example: -- qemu-system-x86_64 -m 1G ...",
    });
  }
  const notices: StartNotice[] = [];
  const remove = (words: readonly string[], why: string): string[] => {
    notices.push({ level: "note", code: "qemu.option-removed", message: `${words.join(" ")} was left out: ${why}` });
    return [];
  };
  const incoming = options.incoming !== false;
  const items = optionsOf(words);
  const kept = items.flatMap((item) => keep(item, options, incoming, remove));
  const socket = options.qmp.replaceAll(",", ",,");
  const ours = ["-qmp", `unix:${socket},server=on,wait=off`, ...(incoming ? ["-incoming", "defer"] : [])];
  return { argv: [program, ...kept, ...ours], notices, paused: items.some((item) => item.option === "S") };
}

/**
 * Whether a QEMU started so may want a terminal that it inherits, for its console or to be ended from there. Files that are not looked into
 * may say so too.
 */
export function wantsTerminal(argv: readonly string[]): boolean {
  const place = /stdio|curses|\/dev\/(?:tty|std(?:in|out|err)|fd\/)|\/proc\/self\/fd/;
  return optionsOf(argv.slice(1)).some(
    ({ option, words }) =>
      /^(?:nographic|curses|readconfig)$/.test(option ?? "") || words.some((word) => place.test(word)),
  );
}

/** Cuts what stands after the program's name into options. */
export function optionsOf(words: readonly string[]): readonly ArgumentItem[] {
  const items: ArgumentItem[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    const option = /^--?(.+)$/s.exec(word)?.[1] ?? null;
    const value = words[i + 1];
    if (option === null || switches.has(option) || value === undefined) items.push({ option, words: [word] });
    else {
      items.push({ option, words: [word, value] });
      i++;
    }
  }
  return items;
}

function keep(
  item: ArgumentItem,
  options: PrepareOptions,
  incoming: boolean,
  remove: (words: readonly string[], why: string) => string[],
): readonly string[] {
  const { words } = item;
  const value = words[1] ?? "";
  switch (item.option) {
    case "incoming":
      return remove(words, incoming ? "the snapshot is loaded over QMP" : "nothing is loaded");
    case "daemonize":
      return remove(words, "QEMU stays in the foreground");
    case "loadvm":
    case "preconfig":
      if (!incoming) return words;
      throw new FixedramError("usage.qemu-option", `-${item.option} cannot go together with loading a snapshot`, {
        found: words.join(" "),
        hint: "Leave it out.",
      });
    case "pidfile":
      return options.pidfileInUse?.(value) === true ? remove(words, "the process it names still runs") : words;
    case "monitor":
    case "qmp":
    case "qmp-pretty":
      return keepMonitor(item, value, options, remove);
    default:
      return words;
  }
}

function keepMonitor(
  item: ArgumentItem,
  value: string,
  options: PrepareOptions,
  remove: (words: readonly string[], why: string) => string[],
): readonly string[] {
  const { words } = item;
  const onStdio = /^(?:chardev:)?(?:mon:)?stdio(?:,|$)/.test(value);
  if (onStdio && item.option !== "monitor") return remove(words, "the terminal is the guest's console");
  if (onStdio && options.captured === true) return remove(words, "QEMU has no terminal here");
  const path = /^unix:((?:[^,]|,,)*)/.exec(value)?.[1]?.replaceAll(",,", ",");
  const serves = /,(?:server(?:=on)?)(?:,|$)/.test(value);
  if (path !== undefined && serves && options.socketInUse?.(path) === true) {
    throw new FixedramError(
      "usage.qemu-option",
      "another process listens at that socket, and QEMU would take it away",
      {
        path,
        found: words.join(" "),
        hint: "Give another path, or leave the option out: a QMP socket is added anyway.",
      },
    );
  }
  // A server waits for its first client by default, and QEMU with it.
  if (!serves || /,(?:wait=off|nowait)(?:,|$)/.test(value)) return words;
  return [words[0] ?? "-qmp", `${value.replace(/,wait(?:=on)?(?=,|$)/g, "")},wait=off`];
}
