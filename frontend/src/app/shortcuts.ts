import { useEffect } from "react";

/** The keys of the page as a whole. */
export const PAGE_KEYS: readonly (readonly [string, string])[] = [
  ["Ctrl+K", "Open the command palette"],
  ["?", "Show the keyboard shortcuts"],
  ["← →", "Go to the previous or next pane, when a pane button has the focus"],
  ["← → on the splitter", "Make the log narrower or wider"],
  ["Enter on the splitter", "Show only the log, or both parts"],
  ["Esc", "Close a dialog or a menu"],
];

/** Open the palette or the help by their keys; letters that are typed into a field open nothing. */
export function useShortcuts(open: (overlay: "palette" | "help") => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open("palette");
      } else if (event.key === "?" && !event.ctrlKey && !event.metaKey && !isTyping(event.target)) {
        event.preventDefault();
        open("help");
      }
    };
    addEventListener("keydown", press, { capture: true });
    return () => removeEventListener("keydown", press, { capture: true });
  }, [open]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
