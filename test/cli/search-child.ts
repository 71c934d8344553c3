/** The command line as it is, from source. */
import { main } from "../../src/cli/main.ts";

process.exitCode = await main(process.argv.slice(2));
