import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark";

export type ThemeChoice = Theme | "system";

const dark = (): MediaQueryList => globalThis.matchMedia("(prefers-color-scheme: dark)");

/** The theme that a choice means now; follows the system where that is the choice. */
export function useTheme(choice: ThemeChoice = "system"): Theme {
  const system = useSyncExternalStore(
    (changed) => {
      const query = dark();
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => dark().matches,
    // A server knows no scheme; the browser's is taken over at once.
    () => false,
  );
  return choice === "system" ? (system ? "dark" : "light") : choice;
}

/** The value of the `color-scheme` property for a choice. */
export function colorScheme(choice: ThemeChoice): string {
  return choice === "system" ? "light dark" : choice;
}
