import { useSyncExternalStore } from "react";

const small = (): MediaQueryList => globalThis.matchMedia("(max-width: 900px)");

/** Whether the screen has no space for two panes, as in `workspace.module.css`. */
export function useSmallScreen(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = small();
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => small().matches,
  );
}
