/** Guests whose memory lies on huge pages: a fault asks for 2 MiB, which go out in one piece. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { qemus, startGuest, testFolder, verdictOf } from "./harness/index.ts";
import { beginLazily, slowly } from "./support/lazy.ts";
import { expectWell, save } from "./support/steps.ts";

const MEMORY = 96;
/** Pages of 2 MiB for it, and a few to spare. */
const NEEDED = MEMORY / 2 + 8;
const pool = "/proc/sys/vm/nr_hugepages";
const before = read(pool);

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function free(): number {
  return Number(/^HugePages_Free:\s*(\d+)/m.exec(read("/proc/meminfo") ?? "")?.[1] ?? 0);
}

/** Has the kernel set 2 MiB pages aside. @returns null, or why there are none: only the machine can be the reason */
function reserve(): string | null {
  if (before === null) return `the kernel has no huge pages (${pool})`;
  if (!/^Hugepagesize:\s*2048 kB/m.test(read("/proc/meminfo") ?? "")) return "huge pages here are not of 2 MiB";
  try {
    writeFileSync(pool, String(Number(before) + NEEDED));
  } catch (error) {
    return `${pool} cannot be written: ${(error as NodeJS.ErrnoException).code}`;
  }
  return free() >= NEEDED ? null : `the kernel found memory for ${free()} of ${NEEDED} huge pages`;
}

function putBack(): void {
  try {
    if (before !== null) writeFileSync(pool, before);
  } catch {
    // Nothing was changed either.
  }
}

const reason = reserve();
putBack();

describe.skipIf(reason !== null)(`on huge pages${reason === null ? "" : ` (left out: ${reason})`}`, () => {
  beforeAll(() => {
    expect(reserve()).toBeNull();
  });
  afterAll(putBack);

  test.each(qemus())(
    "QEMU $label ($version): the page server is killed, and the guest has its memory right",
    { timeout: 240_000 },
    async (one) => {
      const guest = await startGuest({ qemu: one, kind: "boot", memory: MEMORY, still: 48, dirtyRate: 4 });
      const status = await guest.ready(60_000);
      const file = join(testFolder(), "guest.fram");
      await save(guest, file, "--then", "quit");
      await guest.exited;
      const backend = `memory-backend-memfd,id=pc.ram,size=${MEMORY}M,hugetlb=on,hugetlbsize=2M,prealloc=off`;
      const qemuArgs = ["-object", backend, "-machine", "memory-backend=pc.ram"];
      const load = await beginLazily(guest, file, one, { args: [...slowly, "--verify"], qemuArgs });
      expect(free()).toBeLessThan(NEEDED);
      process.kill(load.server() ?? 0, "SIGKILL");
      const result = await load.answer();
      expect(result.recoveries).toBe(1);
      expectWell(await verdictOf(load.serial, "boot"), status);
      await load.quit(result);
    },
  );
});

test("huge pages are tried wherever the machine gives them", () => {
  if (reason !== null) console.warn(`no lazy resume on huge pages was tried: ${reason}`);
  // With the rights and the kernel for it, only a lack of memory may keep them away.
  if (reason !== null)
    expect(reason).toMatch(
      /^(?:the kernel (?:has no|found memory)|huge pages here|.* cannot be written: E(?:ACCES|ROFS|PERM)$)/,
    );
});
