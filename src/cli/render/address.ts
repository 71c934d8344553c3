export { hexAddress as address } from "../../bytes/text.ts";
