import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

const gib = 2 ** 30;

/** A folder for 4.6 GiB in a sparse file of 1 TiB: memory if there is plenty, else disk. */
function roomyFolder(): string | null {
  const free = (folder: string) => {
    try {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    } catch {
      return 0;
    }
  };
  const available = Number(/MemAvailable:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 0) * 1024;
  if (free("/dev/shm") > 6 * gib && available > 8 * gib) return "/dev/shm";
  return free(tmpdir()) > 8 * gib ? tmpdir() : null;
}

it("opens and maps 10^6 scattered pages of a 1 TiB block in under a second, in little memory", { timeout: 180_000 }, ({
  skip,
}) => {
  const room = roomyFolder();
  if (room === null) skip("neither 6 GiB of memory nor 8 GiB of disk are free");
  const folder = mkdtempSync(join(room ?? "", "fixedram-tebibyte-"));
  try {
    const script = join(import.meta.dirname, "tebibyte.ts");
    const text = execFileSync(process.execPath, ["--import", "tsx", script, join(folder, "big.fram")], {
      encoding: "utf8",
    });
    const result = JSON.parse(text);
    expect(result.data).toBe(10 ** 6);
    expect(result.zero).toBe(2 ** 28 - 10 ** 6);
    expect(result.checked).toBeGreaterThan(10_000);
    expect(result.wrong).toBe(0);
    expect(result.last).toBeGreaterThan(2 ** 40);
    expect(result.end).toBe(result.streamEnd);
    expect(result.seal).toBe("sealed");
    expect(result.size).toBeGreaterThan(2 ** 40);
    expect(result.allocated).toBeLessThan(5 * gib);
    expect(result.times.open + result.times.map).toBeLessThan(1000);
    // KiB. Two bitmaps of 32 MiB, the writer's and the reader's, and what the engine needs for itself.
    expect(result.peak - result.baseline).toBeLessThan((64 + 48) * 1024);
    expect(result.peak).toBeLessThan(220 * 1024);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
