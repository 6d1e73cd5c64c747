import { useCallback, useLayoutEffect, useState } from "react";

import { colorScheme, type ThemeChoice } from "../lib/ui/theme";

const KEY = "preview:theme";

function kept(): ThemeChoice {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

/** The theme that the person chose, kept in this browser; the system's until they do. */
export function useThemeChoice(): [ThemeChoice, (choice: ThemeChoice) => void] {
  const [choice, setChoice] = useState(kept);
  useLayoutEffect(() => {
    document.documentElement.style.colorScheme = colorScheme(choice);
  }, [choice]);
  const choose = useCallback((next: ThemeChoice) => {
    setChoice(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // not kept, then
    }
  }, []);
  return [choice, choose];
}
