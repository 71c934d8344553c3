import type { Theme } from "../shared/palette.ts";
import { theme } from "./state.ts";

const key = "fixedram-theme";

/** As it was chosen here before, or as the system has it. */
export function startTheme(): void {
  const system = window.matchMedia("(prefers-color-scheme: light)");
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(key);
  } catch {
    // Storage is switched off.
  }
  theme.value = kept === "light" || kept === "dark" ? kept : system.matches ? "light" : "dark";
  document.documentElement.dataset["theme"] = theme.value;
}

export function keepTheme(chosen: Theme): void {
  theme.value = chosen;
  try {
    localStorage.setItem(key, chosen);
  } catch {
    // Storage is switched off.
  }
}
