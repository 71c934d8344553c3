/**
 * Every command, argument and option, once. The parser, --help, the man page and the completions are made from this table, so
 * they cannot disagree; a test holds docs/cli.md to it.
 */

export interface ArgumentDefinition {
  readonly name: string;
  readonly kind: ValueKind;
  readonly required: boolean;
  readonly text: string;
  readonly choices?: readonly string[];
}

/** What a value is: decides how it is checked and what a shell completes. */
export type ValueKind = "size" | "time" | "count" | "text" | "snapshot" | "file" | "folder" | "socket" | "choice";

export interface OptionDefinition {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** Absent: a switch. */
  readonly value?: { readonly name: string; readonly kind: ValueKind; readonly choices?: readonly string[] };
  readonly text: string;
  readonly required?: boolean;
}

export interface Example {
  readonly command: string;
  readonly text: string;
}

export interface CommandDefinition {
  readonly name: string;
  readonly summary: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly arguments: readonly ArgumentDefinition[];
  /** What may follow `--`. */
  readonly tail?: { readonly name: string; readonly text: string };
  readonly options: readonly OptionDefinition[];
  readonly examples: readonly Example[];
}

export const summary = "Saves a running QEMU guest into one file with every page at a fixed place, and resumes it.";

const snapshotFile: ArgumentDefinition = {
  name: "FILE",
  kind: "snapshot",
  required: true,
  text: "the snapshot",
};

const common: readonly OptionDefinition[] = [
  { name: "json", text: "print one JSON object on standard output, progress as NDJSON on standard error" },
  { name: "quiet", short: "q", text: "print only warnings and errors (and the JSON object, with --json)" },
  { name: "help", short: "h", text: "show this help" },
];

const save: CommandDefinition = {
  name: "save",
  summary: "save a running guest into a file",
  description: [
    "Saves the memory and the devices of a running guest into OUT, which by convention ends in .fram. The guest goes on afterwards, unless --then says otherwise. OUT is replaced only when the new file is complete and on disk; until then the guest can go on and an older OUT stands.",
    "The file holds the guest's whole memory, keys and passwords included.",
  ],
  arguments: [{ name: "OUT", kind: "snapshot", required: true, text: "the file to write" }],
  options: [
    {
      name: "qmp",
      value: { name: "SOCKET", kind: "socket" },
      required: true,
      text: "QEMU's control socket: PATH, unix:PATH or tcp:HOST:PORT on this machine",
    },
    {
      name: "mode",
      value: { name: "MODE", kind: "choice", choices: ["stop", "live", "background"] },
      text: "stop (default): the guest stands still while it is saved, the shortest total time; live: it runs on and stops only for the rest; background: it stands still for milliseconds, the file shows the moment of the start",
    },
    {
      name: "then",
      value: { name: "ACTION", kind: "choice", choices: ["resume", "pause", "quit"] },
      text: "what the guest does when the file is on disk: resume (default), pause, or quit, which ends QEMU",
    },
    {
      name: "max-bandwidth",
      value: { name: "SIZE", kind: "size" },
      text: "bytes a second at most, such as 500M (default: no limit)",
    },
    {
      name: "max-time",
      value: { name: "TIME", kind: "time" },
      text: "with --mode live: how long the guest may run on before --on-limit applies, such as 30s or 1h30m",
    },
    {
      name: "max-rounds",
      value: { name: "N", kind: "count" },
      text: "with --mode live: how many rounds over the memory before --on-limit applies",
    },
    {
      name: "on-limit",
      value: { name: "ACTION", kind: "choice", choices: ["stop", "abort"] },
      text: "with --mode live, at a limit: stop (default) stops the guest and saves the rest; abort gives up, and the guest goes on",
    },
    {
      name: "socket-dir",
      value: { name: "DIR", kind: "folder" },
      text: "folder for the socket that QEMU sends to, reachable by QEMU's user",
    },
    { name: "force", text: "go on where a combination is known to lose guest memory" },
    ...common,
  ],
  examples: [
    { command: "fixedram save web.fram --qmp /run/web.qmp", text: "save the guest, which goes on afterwards" },
    {
      command: "fixedram save web.fram --qmp /run/web.qmp --mode live --max-time 2m --then quit",
      text: "save while it runs, stop it after two minutes at the latest, then end QEMU",
    },
  ],
};

const resume: CommandDefinition = {
  name: "resume",
  summary: "resume a guest from a file",
  description: [
    "Starts QEMU-COMMAND, or takes the QEMU that waits behind --qmp in -incoming defer, loads FILE into it and lets the guest go on as it was. With neither, the command recorded in FILE is shown, and run only after a yes.",
    "A QEMU that was started stays in the foreground with its console on the terminal, Ctrl-C included, and its exit code becomes ours.",
  ],
  arguments: [snapshotFile],
  tail: { name: "QEMU-COMMAND", text: "the QEMU to start: program and arguments, never through a shell" },
  options: [
    {
      name: "qmp",
      value: { name: "SOCKET", kind: "socket" },
      text: "attach to the QEMU that waits behind this control socket: PATH, unix:PATH or tcp:HOST:PORT on this machine",
    },
    { name: "paused", text: "leave the guest paused" },
    { name: "run-recorded", text: "run the command recorded in FILE without asking; only for files you trust" },
    { name: "verify", text: "check every page of FILE before, as verify --deep does" },
    {
      name: "id",
      value: { name: "ID", kind: "text" },
      text: "the snapshot must have this id, as save, info and verify print it",
    },
    { name: "force", text: "go on although disks changed since the save, which can destroy their filesystems" },
    ...common,
  ],
  examples: [
    {
      command: "fixedram resume web.fram -- qemu-system-x86_64 -M q35 -m 2G -nographic",
      text: "start this QEMU with the guest in it",
    },
    {
      command: "fixedram resume web.fram --qmp /run/web.qmp --paused",
      text: "load into a QEMU that was started with -incoming defer",
    },
  ],
};

const info: CommandDefinition = {
  name: "info",
  summary: "show what a snapshot holds",
  description: ["Shows the machine, the versions, the RAM blocks, the devices, the disks and the seal of FILE."],
  arguments: [snapshotFile],
  options: common,
  examples: [
    { command: "fixedram info web.fram", text: "show what is in the file" },
    { command: "fixedram info web.fram --json | jq .sizes.ram", text: "the guest's RAM in bytes" },
  ],
};

const map: CommandDefinition = {
  name: "map",
  summary: "draw which pages a snapshot holds",
  description: [
    "Draws each RAM block of FILE as one line: a character is a stretch of pages, and says how many are there.",
  ],
  arguments: [snapshotFile],
  options: [
    { name: "block", value: { name: "NAME", kind: "text" }, text: "only this RAM block" },
    {
      name: "width",
      value: { name: "N", kind: "count" },
      text: "characters between the bars, 10 to 10000 (default: as wide as the terminal, or 76)",
    },
    ...common,
  ],
  examples: [
    { command: "fixedram map web.fram", text: "draw every block" },
    { command: "fixedram map web.fram --block pc.ram --width 200 | less -S", text: "main memory in finer detail" },
  ],
};

const verify: CommandDefinition = {
  name: "verify",
  summary: "check that a snapshot is as it was sealed",
  description: [
    "Compares FILE with its seal: the seal itself, the headers, the device state and the bitmaps; with --deep every page too. What is damaged is named: the block and page, or the part of the file. A file without a seal has only its structure checked.",
    "The digests of pages find accidents; who can write to the file can also make pages that match.",
  ],
  arguments: [snapshotFile],
  options: [
    { name: "deep", text: "read every page as well" },
    {
      name: "id",
      value: { name: "ID", kind: "text" },
      text: "the snapshot must have this id, as save, info and verify print it",
    },
    ...common,
  ],
  examples: [
    { command: "fixedram verify web.fram", text: "the quick check, milliseconds at any size" },
    {
      command: "fixedram verify web.fram --deep --json | jq .problems",
      text: "every byte; what is damaged, for a program",
    },
  ],
};

const seal: CommandDefinition = {
  name: "seal",
  summary: "seal a snapshot that QEMU or libvirt made",
  description: [
    "Appends a seal to FILE, a mapped-ram file or a sparse libvirt image: digests of its pages, its headers and its device state. No byte of what is there moves, QEMU and libvirt load it as before. Nobody else may write to FILE meanwhile.",
  ],
  arguments: [snapshotFile],
  options: common,
  examples: [
    { command: "fixedram seal guest.mapped", text: "seal a file that QEMU wrote with mapped-ram" },
    { command: "fixedram seal guest.mapped --json | jq -r .id", text: "its id, to be demanded later with --id" },
  ],
};

const repair: CommandDefinition = {
  name: "repair",
  summary: "take away half a seal, or a cut end",
  description: [
    "Takes half a seal off FILE (sealing was cut short), or a vmdesc that is cut where the stream is whole without it, and says what is lost by that. What else is damaged cannot be repaired: it says why, and touches nothing.",
  ],
  arguments: [snapshotFile],
  options: common,
  examples: [
    { command: "fixedram repair web.fram", text: "repair what can be repaired" },
    { command: "fixedram repair web.fram --json | jq .repaired", text: "what was done, for a program" },
  ],
};

const convert: CommandDefinition = {
  name: "convert",
  summary: "write a snapshot in another container",
  description: [
    "Reads IN, whatever QEMU or libvirt made (a fixed-ram or mapped-ram file, a migration stream, a save image of libvirt), and writes it as OUT. A stream may come from standard input and go to standard output: -. OUT is replaced only when the new file is complete and on disk.",
    "fixed-ram holds everything, with a seal; stream loads in any QEMU (-incoming 'exec:cat FILE'); libvirt-sparse is what virsh restore takes; raw is a folder with the memory of each RAM block as a sparse file, without the devices, so it cannot be resumed.",
  ],
  arguments: [
    { name: "IN", kind: "snapshot", required: true, text: "the snapshot to read, or - for a stream on standard input" },
    {
      name: "OUT",
      kind: "snapshot",
      required: true,
      text: "the file or folder to write, or - for a stream on standard output",
    },
  ],
  options: [
    {
      name: "to",
      value: { name: "FORMAT", kind: "choice", choices: ["fixed-ram", "stream", "libvirt-sparse", "raw"] },
      text: "fixed-ram (default when OUT ends in .fram), stream (default for -), libvirt-sparse or raw",
    },
    {
      name: "xml",
      value: { name: "FILE", kind: "file" },
      text: "with --to libvirt-sparse: the domain's definition, from virsh dumpxml --migratable --security-info (default: what IN has from libvirt)",
    },
    { name: "force", text: "go on although IN's seal is damaged or stale; its record is left out then" },
    ...common,
  ],
  examples: [
    { command: "fixedram convert old.stream web.fram", text: "give the pages of a stream their places, and a seal" },
    {
      command: "fixedram convert web.fram - | qemu-system-x86_64 -M pc-q35-7.2 -m 2G -incoming exec:cat",
      text: "into a QEMU of any version",
    },
  ],
};

const doctor: CommandDefinition = {
  name: "doctor",
  summary: "see what this machine can do",
  description: [
    "Looks for QEMUs and what they can do, whether KVM really runs a guest, userfaultfd rights, and sparse files, O_DIRECT and free space in the current folder.",
  ],
  arguments: [],
  options: common,
  examples: [
    { command: "fixedram doctor", text: "look at this machine and the current folder" },
    { command: "fixedram doctor --json > doctor.json", text: "for a bug report" },
  ],
};

const completions: CommandDefinition = {
  name: "completions",
  summary: "print completions for a shell",
  description: ["Prints a script that teaches SHELL the commands, options and values of fixedram."],
  arguments: [
    {
      name: "SHELL",
      kind: "choice",
      required: true,
      text: "bash, zsh, fish or powershell",
      choices: ["bash", "zsh", "fish", "powershell"],
    },
  ],
  options: common,
  examples: [
    { command: "source <(fixedram completions bash)", text: "for this bash, or in ~/.bashrc for every one" },
    {
      command: "fixedram completions fish > ~/.config/fish/completions/fixedram.fish",
      text: "for fish, from the next one on",
    },
  ],
};

export const commands: readonly CommandDefinition[] = [
  save,
  resume,
  info,
  map,
  verify,
  seal,
  repair,
  convert,
  doctor,
  completions,
];

/** Options that stand without a command. */
export const programOptions: readonly OptionDefinition[] = [
  { name: "version", short: "V", text: "show the version" },
  { name: "help", short: "h", text: "show this help" },
];

export const exitCodes: readonly { readonly code: string; readonly text: string }[] = [
  { code: "0", text: "fine" },
  { code: "1", text: "it differs, or is damaged" },
  { code: "2", text: "the command line is wrong" },
  { code: "3", text: "not a snapshot that can be read" },
  { code: "4", text: "QEMU or its control socket refused or failed" },
  { code: "5", text: "the system refused (disk full, permission), or fixedram failed" },
  { code: "129, 130, 143", text: "ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM" },
];
