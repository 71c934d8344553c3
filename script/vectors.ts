/** Writes test/vectors anew from the lists in test/hostile/defects. */
import { writeVectors } from "../test/hostile/all.ts";

console.log(`${await writeVectors()} vectors`);
