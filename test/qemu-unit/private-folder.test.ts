import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { defaultParent, makePrivateFolder, stateFolder } from "../../src/qemu/private-folder.ts";
import { failure } from "../operations/synthetic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
});

describe("a private folder", () => {
  test("is new, ours alone, and goes with what is in it", () => {
    const made = makePrivateFolder(folder);
    expect(statSync(made.path).mode % 0o1000).toBe(0o700);
    expect(makePrivateFolder(folder).path).not.toBe(made.path);
    writeFileSync(made.socket("a.sock"), "");
    made.remove();
    expect(existsSync(made.path)).toBe(false);
    made.remove();
  });

  test("has an absolute path even when its parent is named by a relative one: QEMU has another working folder", () => {
    const made = makePrivateFolder(folder.replace(/^\//, "../".repeat(process.cwd().split("/").length)));
    expect(made.path.startsWith("/")).toBe(true);
    made.remove();
  });

  test("whose socket's path would be too long is refused before it is made", async () => {
    const deep = join(folder, "d".repeat(90));
    mkdirSync(deep);
    expect(await failure(() => makePrivateFolder(deep))).toMatchObject({
      code: "usage.socket-dir",
      details: { path: deep },
    });
  });

  test("in a parent that is none is an error of the system", async () => {
    expect((await failure(() => makePrivateFolder(join(folder, "none")))).code).toBe("system.not-found");
    writeFileSync(join(folder, "file"), "");
    expect((await failure(() => makePrivateFolder(join(folder, "file")))).code).toBe("system.not-found");
  });

  test.skipIf(process.getuid?.() !== 0)("is given away to QEMU's user by root", () => {
    const made = makePrivateFolder(folder, { uid: 65534, gid: 65534 });
    expect(statSync(made.path)).toMatchObject({ uid: 65534, gid: 65534 });
    made.remove();
  });

  test("lies in the runtime folder when that is ours, else in the temporary one", () => {
    vi.stubEnv("XDG_RUNTIME_DIR", folder);
    expect(defaultParent()).toBe(folder);
    for (const none of ["", join(folder, "none")]) {
      vi.stubEnv("XDG_RUNTIME_DIR", none);
      expect(defaultParent()).toBe(tmpdir());
    }
  });
});

describe("the state folder", () => {
  const path = () => join(folder, `fixedram-state-${process.getuid?.()}`);
  beforeEach(() => void vi.stubEnv("XDG_RUNTIME_DIR", folder));

  test("is made once, for us alone", () => {
    expect(stateFolder()).toBe(path());
    expect(stateFolder()).toBe(path());
    expect(statSync(path()).mode % 0o1000).toBe(0o700);
  });

  test.each(["open to others", "a link", "a file"])("%s is refused", async (kind) => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    if (kind === "a link") symlinkSync(elsewhere, path());
    else if (kind === "a file") writeFileSync(path(), "", { mode: 0o700 });
    else {
      mkdirSync(path());
      chmodSync(path(), 0o755);
    }
    expect(await failure(stateFolder)).toMatchObject({ code: "system.state-folder", details: { path: path() } });
  });

  test.skipIf(process.getuid?.() !== 0)("of somebody else is refused", async () => {
    mkdirSync(path(), { mode: 0o700 });
    const { chownSync } = await import("node:fs");
    chownSync(path(), 65534, 65534);
    expect((await failure(stateFolder)).code).toBe("system.state-folder");
  });
});
