import { useCallback, useState } from "react";

const KEY = "preview:spoken";

/** Whether the log is made readable for screen readers: a choice that this browser keeps. */
export function useSpoken(): [boolean, (isSpoken: boolean) => void] {
  const [isSpoken, setSpoken] = useState(kept);
  const choose = useCallback((next: boolean) => {
    setSpoken(next);
    try {
      if (next) localStorage.setItem(KEY, "1");
      else localStorage.removeItem(KEY);
    } catch {
      // no storage: the choice lives as long as the page
    }
  }, []);
  return [isSpoken, choose];
}

function kept(): boolean {
  try {
    return localStorage.getItem(KEY) === "1";
  } catch {
    return false;
  }
}
