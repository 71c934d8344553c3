import type { Theme } from "../shared/palette.ts";
import { theme } from "./state.ts";

const key = "fixedram-theme";

/** As it was chosen here; null: never, so the system's is taken, also when it changes. */
let chosen: Theme | null = null;

/** As it was chosen here before, or as the system has it. */
export function startTheme(): void {
  const system = window.matchMedia("(prefers-color-scheme: light)");
  const follow = () => {
    if (chosen === null) theme.value = system.matches ? "light" : "dark";
  };
  try {
    const kept = localStorage.getItem(key);
    if (kept === "light" || kept === "dark") chosen = theme.value = kept;
  } catch {
    // Storage is switched off.
  }
  follow();
  system.addEventListener("change", follow);
  document.documentElement.dataset["theme"] = theme.value;
}

export function keepTheme(wish: Theme): void {
  chosen = theme.value = wish;
  try {
    localStorage.setItem(key, wish);
  } catch {
    // Storage is switched off.
  }
}
