/** Streams made of a list of choices, each a byte: sound ones with a model of what they hold, or with one thing wrong. */
import { Marked } from "../../marked.ts";
import { deviceTail, footer, frame, pageOf, section } from "../../sound.ts";
import type { PlainPages } from "./plain-stream.ts";
import { Choices } from "./shared.ts";

const pageSize = 1024;
const names = ["ram", "r", "a-longer-name", "\x1b[31m"];

/** @returns `model` is null when something is wrong with the stream, or may be */
export function structured(input: Uint8Array): { readonly bytes: Uint8Array; readonly model: PlainPages | null } {
  const choices = new Choices(input);
  const wrong = choices.below(3) === 0;
  const blocks = names.slice(0, 1 + choices.below(names.length)).map((name) => ({ name, pages: choices.below(12) }));
  const out = frame(new Marked(), { pageBits: 10, uuid: choices.below(2) === 0 });
  section(out, "ram", 1, 2, "ram", 4);
  out.u64(null, blocks.reduce((sum, { pages }) => sum + pages * pageSize, 0) + 4);
  let left = blocks.reduce((sum, { pages }) => sum + pages, 0);
  for (const { name, pages } of blocks) {
    // QEMU stops where the total is reached: an empty block behind it is not listed.
    if (left === 0) break;
    out.name(null, name).u64(null, pages * pageSize);
    left -= pages;
  }
  footer(out.u64(null, 0x10), "ram", 2);
  const model: PlainPages = new Map();
  const state = { last: -1 };
  const rounds = 1 + choices.below(3);
  for (let round = 0; round < rounds; round++) {
    out.u8(null, round === rounds - 1 && choices.below(4) > 0 ? 3 : 2).u32(null, 2);
    for (let i = choices.below(12); i > 0 && choices.left; i--) record(out, choices, blocks, state, model);
    footer(out.u64(null, 0x10), "part", 2);
  }
  const devices = Array.from({ length: choices.below(3) }, (_, i) => ({
    name: `d${i}`,
    id: 20 + i,
    payload: new Uint8Array(choices.below(40)).fill(0x7e),
  }));
  deviceTail(out, { devices, pageSize, ...(choices.below(4) === 0 ? { vmdesc: null } : {}) });
  const { bytes } = out.finish();
  return wrong ? { bytes: spoilt(bytes, choices), model: null } : { bytes, model };
}

function record(
  out: Marked,
  choices: Choices,
  blocks: readonly { name: string; pages: number }[],
  state: { last: number },
  model: PlainPages,
): void {
  const index = choices.below(blocks.length);
  const block = blocks[index];
  if (block === undefined || block.pages === 0) return;
  const page = choices.below(block.pages);
  const kind = choices.below(8);
  if (kind === 7) {
    out.u64(null, 0x200);
    return;
  }
  const same = state.last === index && choices.below(8) > 0;
  const flag = kind < 3 ? 0x08 : kind < 5 ? 0x02 : 0x40;
  out.u64(null, page * pageSize + flag + (same ? 0x20 : 0));
  if (!same) out.name(null, block.name);
  state.last = index;
  const key = `${block.name}\0${page}`;
  if (flag === 0x08) {
    const bytes = pageOf(page, choices.below(256), pageSize);
    out.bytes(null, bytes);
    model.set(key, bytes);
  } else if (flag === 0x02) {
    out.u8(null, 0);
    model.delete(key);
  } else {
    const skip = choices.below(200);
    const fill = choices.below(256);
    const data = [...(skip < 128 ? [skip] : [(skip % 128) + 128, skip >> 7]), 3, fill, fill, fill];
    out.u8(null, 1).u16(null, data.length).bytes(null, Uint8Array.from(data));
    const bytes = model.get(key)?.slice() ?? new Uint8Array(pageSize);
    model.set(key, bytes.fill(fill, skip, skip + 3));
  }
}

/** One thing wrong: a byte, a cut, a piece left out or twice. */
function spoilt(bytes: Uint8Array, choices: Choices): Uint8Array {
  const at = (choices.below(256) * 256 + choices.below(256)) % bytes.length;
  const length = 1 + choices.below(40);
  switch (choices.below(5)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)]);
    case 2:
      return Uint8Array.from([...bytes.subarray(0, at + length), ...bytes.subarray(at)]);
    default: {
      const copy = bytes.slice();
      copy[at] = choices.below(256);
      return copy;
    }
  }
}
