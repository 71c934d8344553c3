/** Started by a test, to be killed: a process that runs libvirtd and a domain, says which they are and waits. */
import { Libvirt } from "./harness.ts";

const libvirt = await Libvirt.start();
const domain = await libvirt.define();
await domain.start();
console.log(`${libvirt.pid} ${domain.name}`);
setInterval(() => {}, 1000);
