/**
 * Every command, argument and option, once. The parser, --help, the man page and the completions are made from this table, so
 * they cannot disagree; a test holds docs/cli.md to it.
 */

import { clone } from "./clone.ts";
import { completions } from "./completions.ts";
import { convert } from "./convert.ts";
import { cpus } from "./cpus.ts";
import { devices } from "./devices.ts";
import { diff } from "./diff.ts";
import { doctor } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { gdb } from "./gdb.ts";
import { info } from "./info.ts";
import { map } from "./map.ts";
import { read } from "./read.ts";
import { recover } from "./recover.ts";
import { repair } from "./repair.ts";
import { resume } from "./resume.ts";
import { save } from "./save.ts";
import { seal } from "./seal.ts";
import { search, strings } from "./search.ts";
import { translate } from "./translate.ts";
import type { CommandDefinition, OptionDefinition } from "./types.ts";
import { verify } from "./verify.ts";
import { view } from "./view.ts";

export * from "./types.ts";

export const summary = "Saves a running QEMU guest into one file with every page at a fixed place, and resumes it.";

export const commands: readonly CommandDefinition[] = [
  save,
  resume,
  clone,
  recover,
  info,
  map,
  view,
  verify,
  seal,
  repair,
  convert,
  diff,
  exportCommand,
  read,
  translate,
  search,
  strings,
  devices,
  cpus,
  gdb,
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
  { code: "1", text: "it differs, is damaged, or is not there" },
  { code: "2", text: "the command line is wrong" },
  { code: "3", text: "not a snapshot that can be read" },
  { code: "4", text: "QEMU or its control socket refused or failed" },
  { code: "5", text: "the system refused (disk full, permission), or fixedram failed" },
  { code: "129, 130, 143", text: "ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM" },
];
