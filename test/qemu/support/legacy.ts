/** Streams as QEMU itself writes them into a file (`migrate "exec:cat > FILE"`), and what our reader finds in them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { StreamCounts } from "../../../src/legacy/indexer.ts";
import { openLegacy } from "../../../src/legacy/reader.ts";
import { openSnapshot } from "../../../src/operations/open.ts";
import { walk } from "../../../src/pages/plan.ts";
import type { QmpClient } from "../../../src/qmp/client.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { ScratchFile } from "../../../src/storage/scratch-file.ts";
import { type Guest, startGuest } from "../harness/index.ts";
import { untilState } from "./steps.ts";

export interface StreamWish {
  readonly capabilities?: readonly string[];
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Stop the guest first: everything goes in one round. */
  readonly stop?: boolean;
  /** Let QEMU go on with the memory until this holds of `query-migrate`, or until it has nothing left to send. */
  readonly until?: (status: MigrationStatus) => boolean;
}

export interface MigrationStatus {
  readonly status?: string;
  readonly ram?: { readonly "dirty-sync-count"?: number };
  readonly "xbzrle-cache"?: { readonly pages?: number };
}

/** Bytes a second while QEMU shall go on: slow enough for the guest to dirty pages, which are then sent again. */
const SLOW = 16 * 2 ** 20;

/** Has QEMU migrate the guest into a file. Afterwards the guest stands in `postmigrate`. */
export async function writeStream(guest: Guest, file: string, wish: StreamWish = {}): Promise<void> {
  const { capabilities = [], parameters = {}, until } = wish;
  const qmp = await guest.qmp();
  const all = ["events", ...capabilities].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities: all });
  // QEMU ends when it could send the rest within the limit (ms); with 0 it ends as soon as a round is through.
  const pace = until === undefined ? { "max-bandwidth": 2 ** 40 } : { "max-bandwidth": SLOW, "downtime-limit": 1 };
  await qmp.execute("migrate-set-parameters", { ...pace, ...parameters });
  if (wish.stop === true) await qmp.execute("stop");
  const since = qmp.sequence;
  await qmp.execute("migrate", { uri: `exec:cat > ${file}` });
  if (until !== undefined) {
    await untilStatus(qmp, (status) => until(status) || status.status === "completed");
    await qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40, "downtime-limit": 2_000_000 });
  }
  const last = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
    { since, timeout: 60_000 },
  );
  expect(last.data["status"], guest.output()).toBe("completed");
}

/** QEMU tells no numbers in events: they are asked for. */
async function untilStatus(qmp: QmpClient, wanted: (status: MigrationStatus) => boolean): Promise<void> {
  for (const end = performance.now() + 60_000; ; ) {
    const status = (await qmp.execute("query-migrate")) as MigrationStatus;
    if (wanted(status)) return;
    if (performance.now() > end) throw new Error(`the migration stays ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Pages of main RAM in which a stream, as we read it, differs from what stock QEMU has in memory after loading it. From 1 MiB
 * on: below lie what other blocks cover.
 */
export async function differsFromStock(guest: Guest, file: string): Promise<readonly number[]> {
  const loaded = await startGuest({ ...guest.options, incoming: `exec:cat ${file}`, extraArgs: ["-S"] });
  const qmp = await loaded.qmp();
  await untilState(qmp, (state) => state !== "inmigrate");
  const dump = join(loaded.folder, "memory");
  const size = guest.options.memory * 2 ** 20 - 2 ** 20;
  await qmp.execute("pmemsave", { val: 2 ** 20, size, filename: dump });
  await loaded.kill();
  const memory = readFileSync(dump);
  const { map, close } = await openSnapshot(file, { index: "ignore" });
  const wrong: number[] = [];
  const compare = (first: number, pages: number, content: Uint8Array | null) => {
    for (let page = Math.max(first, 256); page < first + pages; page++) {
      const there = memory.subarray((page - 256) * 4096, (page - 255) * 4096);
      const ours = content === null ? ZERO_PAGE : content.subarray((page - first) * 4096, (page - first + 1) * 4096);
      if (Buffer.compare(there, ours) !== 0) wrong.push(page);
    }
  };
  const ram = map.blocks.find(({ name }) => name === "pc.ram")?.index;
  await walk(map, {
    async data(block, first, pages, store, offset) {
      if (block !== ram) return;
      const content = new Uint8Array(pages * 4096);
      await map.stores[store]?.read(content, offset);
      compare(first, pages, content);
    },
    zero(block, first, pages) {
      if (block === ram) compare(first, pages, null);
    },
  });
  await close();
  return wrong;
}

const ZERO_PAGE = new Uint8Array(4096);

/** Reads a stream through and tells what records it met, and of which kinds. */
export async function countsOf(file: string): Promise<StreamCounts & { readonly kinds: ReadonlySet<string> }> {
  const store = FileStore.open(file);
  try {
    const stream = await openLegacy(store, { scratch: () => ScratchFile.create() });
    await stream.close();
    return { ...stream.counts, kinds: new Set(stream.records.map(({ kind }) => kind)) };
  } finally {
    await store.close();
  }
}
