import { expect, test } from "vitest";
import { drawScene, type Scene } from "../../../src/viewer/client/map/scene.ts";
import type { Order } from "../../../src/viewer/shared/grid.ts";
import type { ViewBlock } from "../../../src/viewer/shared/protocol.ts";
import { type Size, wholeView } from "../../../src/viewer/shared/view.ts";
import { worldOf } from "../../../src/viewer/shared/world.ts";

interface Word {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly base: number;
}

/** A canvas that keeps what is written, with letters as wide as the browser's. */
function paper(): { context: CanvasRenderingContext2D; words: Word[] } {
  const words: Word[] = [];
  const state: Record<string, unknown> = { font: "" };
  const widthOf = (text: string) => text.length * (String(state["font"]).includes("10.5px") ? 6.35 : 6.1);
  const methods: Record<string, unknown> = {
    measureText: (text: string) => ({ width: widthOf(text) }),
    fillText: (text: string, left: number, base: number) =>
      words.push({ text, left, right: left + widthOf(text), base }),
  };
  const context = new Proxy(state, {
    get: (target, name) => methods[String(name)] ?? target[String(name)] ?? (() => {}),
    set: (target, name, value) => {
      target[String(name)] = value;
      return true;
    },
  });
  return { context: context as unknown as CanvasRenderingContext2D, words };
}

function block(index: number, label: string, mebibytes: number): ViewBlock {
  const length = mebibytes * 2 ** 20;
  const [pages, pageSize] = [length / 4096, 4096];
  return { index, name: label, label, length, pageSize, pages, present: pages } as ViewBlock;
}

function written(blocks: readonly ViewBlock[], order: Order, canvas: Size): Word[] {
  const world = worldOf(blocks, order);
  const { context, words } = paper();
  const scene: Scene = {
    ...{ world, view: wholeView(world, canvas), canvas, ratio: 1, theme: "dark" },
    look: { side: 0, mode: "state", theme: "dark", hidden: new Set(), trust: "stored", moment: null } as never,
    ...{ selected: null, hovered: null, found: new Map(), damaged: new Map() },
    physicalOf: (spot) => (spot.block === 0 ? spot.offset : 0xfd00_0000 + spot.offset),
  };
  const nothing = { begin: () => {}, end: () => {}, picture: () => null } as never;
  drawScene(context, scene, nothing, nothing);
  return words;
}

const small = [block(7, "pc.bios", 0.25), block(8, "/rom@etc/acpi/tables", 0.125), block(9, "pc.rom", 0.125)];
const guests: Readonly<Record<string, readonly ViewBlock[]>> = {
  "512 MiB and a VGA": [block(0, "pc.ram", 512), block(1, "0000:00:01.0/vga.vram", 16), ...small],
  "256 MiB and a VGA": [block(0, "pc.ram", 256), block(1, "vga.vram", 16), ...small],
  "8 GiB and a VGA": [block(0, "pc.ram", 8192), block(1, "0000:00:01.0/vga.vram", 16), ...small],
  "4 GiB and a VGA": [block(0, "pc.ram", 4096), block(1, "vga.vram", 16), ...small],
  "64 MiB and a large VGA": [block(0, "pc.ram", 64), block(1, "0000:00:01.0/vga.vram", 64), ...small],
  "four nodes": [0, 1, 2, 3].map((node) => block(node, `/objects/node${node}`, 256)),
  "a large and three smaller ones": [block(0, "pc.ram", 1024), ...[1, 2, 3].map((i) => block(i, `mem${i}`, 256))],
};

for (const [name, blocks] of Object.entries(guests)) {
  for (const order of ["rows", "hilbert"] as const) {
    test(`${name}, ${order}: no two words lie on each other`, () => {
      for (const canvas of [
        { width: 1280, height: 634 },
        { width: 760, height: 634 },
        { width: 1920, height: 994 },
      ]) {
        const words = written(blocks, order, canvas);
        // Addresses as everywhere: digits in fours, none cut off.
        for (const { text } of words.filter(({ text }) => text.includes("0x")))
          expect(text).toMatch(/^(?:gpa |\+)?0x[0-9a-f]{4}(?:_[0-9a-f]{4})+$/);
        expect(words.length).toBeGreaterThan(3);
        const meeting = words.flatMap((a, i) =>
          words
            .slice(i + 1)
            .filter((b) => a.left < b.right && b.left < a.right && Math.abs(a.base - b.base) < 9)
            .map((b) => `${a.text} and ${b.text}`),
        );
        expect({ canvas, meeting }).toEqual({ canvas, meeting: [] });
      }
    });
  }
}
