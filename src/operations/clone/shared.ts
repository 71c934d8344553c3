import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { optionsOf } from "../../qemu/arguments.ts";
import type { Notice } from "../progress.ts";

/** What guests that come from one snapshot have in common, and what can be done about it. */
export function sharedByClones(argv: readonly string[], meta: SnapshotMeta | null): readonly Notice[] {
  const items = optionsOf(argv.slice(1));
  const notices: Notice[] = [];
  const warn = (code: string, message: string) => notices.push({ level: "warning", code, message });
  const values = items.map(({ words }) => words[1] ?? "");
  const networks = items.filter(({ option }) => option !== null && ["netdev", "nic", "net"].includes(option));
  if (networks.length > 0) {
    const together = /^(?:type=)?(?:tap|bridge|socket|dgram|stream|vde|vhost-|passt)/;
    const shared = networks.some(({ words }) => together.test(words[1] ?? ""));
    const where = shared ? ". They are on a network together: at most one of them can be used there as it is." : "";
    warn("shared-mac", `the clones have the same MAC addresses and IP leases${where}`);
  }
  warn(
    "shared-identity",
    "the clones have the same machine-id, host keys, sessions and everything else in memory: change in each what must differ",
  );
  warn("shared-randomness", randomness(values));
  const age = meta === null ? "" : ` (of ${meta.created})`;
  warn("shared-clock", `the clones' clocks go on from the moment of the save${age} until they are set`);
  return notices;
}

/** QEMU tells a guest of a new vmgenid when it has loaded it; Linux from 5.18 seeds its random numbers anew then. */
function randomness(values: readonly string[]): string {
  const same = "the clones begin with the same random numbers: keys, cookies and ports made from them may be the same";
  const device = values.find(
    (value) => /^(?:driver=)?vmgenid(?:,|$)/.test(value) || /"driver"\s*:\s*"vmgenid"/.test(value),
  );
  if (device === undefined) {
    return `${same}. A guest that was started with -device vmgenid,guid=auto is told that it is a clone (Linux from 5.18 then seeds anew); this one has none, so seed them yourself.`;
  }
  if (/guid=auto|"guid"\s*:\s*"auto"/.test(device)) {
    return `${same} until each guest acts on its new vmgenid, which QEMU gives it (Linux from 5.18 seeds anew at once; programs keep what they have)`;
  }
  return `${same}: vmgenid has a fixed guid, so that no guest can tell. Use guid=auto.`;
}
