/** docs/format.md, "Seal": every field of every table, as an accident leaves it, and sealed anew as somebody who means to mislead would. */
import { saved, sealed } from "../seals.ts";
import { mapped } from "../sound.ts";
import type { Spec } from "../spec.ts";
import { contents, overwritten } from "./seal-contents.ts";
import { digests, more, rooted } from "./seal-digests.ts";
import { directory, metas, trailer } from "./seal-head.ts";
import { big, order } from "./seal-order.ts";
import { pages } from "./seal-rows.ts";

export async function sealDefects(): Promise<Spec[]> {
  const file = await sealed(mapped());
  const save = await saved();
  const two = await sealed(
    mapped({ pageBits: 10, pageSize: 1024, blocks: [{ name: "ram", pages: 600, present: { 0: 1, 599: 2 } }] }),
  );
  return [
    ...more(file, two),
    {
      name: "sealed",
      what: "a mapped-ram file that was sealed in place",
      clause: "Seal",
      bytes: file.bytes,
      pages,
      verify: ["sealed"],
    },
    { name: "saved", what: "a file as a save writes it", clause: "Seal", bytes: save.bytes, verify: ["sealed"] },
    ...trailer(file),
    ...directory(file),
    ...metas(file),
    ...digests(file),
    ...rooted(file),
    ...contents(file),
    overwritten(file),
    ...order(await big()),
  ];
}
