import { FitAddon } from "@xterm/addon-fit";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";

import type { ScreenOptions } from "./screenTypes";
import { openStrictly, strictDocument } from "./strictDocument";
import { THEMES } from "./themes";

/** Rows kept by xterm.js: a window whose lines wrap into four rows each. */
const SCROLLBACK = 12_000;
const FONT =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const HIDE_CURSOR = "\u001b[?25l";

/** A terminal that is only looked at: no cursor, no typing; links open in a tab of their own. */
export function openTerminal(host: HTMLElement, options: ScreenOptions): { terminal: Terminal; fit: FitAddon } {
  const terminal = new Terminal({
    allowProposedApi: true,
    documentOverride: strictDocument(document),
    convertEol: false,
    cursorBlink: false,
    cursorInactiveStyle: "none",
    disableStdin: true,
    fontFamily: FONT,
    fontSize: options.fontSize,
    lineHeight: 1.25,
    minimumContrastRatio: 4.5,
    screenReaderMode: options.isSpoken,
    scrollback: SCROLLBACK,
    scrollOnUserInput: false,
    smoothScrollDuration: 0,
    theme: THEMES[options.theme],
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(new WebLinksAddon((_, address) => window.open(address, "_blank", "noopener,noreferrer")));
  openStrictly(terminal, host);
  terminal.write(HIDE_CURSOR);
  return { terminal, fit };
}

export interface Moves {
  byLines: (lines: number) => void;
  byPages: (pages: number) => void;
  toStart: () => void;
  toEnd: () => void;
}

/** The keys that move through the log. Nothing is typed into it: Tab and shortcuts are the browser's. */
export function bindKeys(terminal: Terminal, moves: Moves): void {
  const keys: Record<string, () => void> = {
    ArrowUp: () => moves.byLines(-1),
    ArrowDown: () => moves.byLines(1),
    PageUp: () => moves.byPages(-1),
    PageDown: () => moves.byPages(1),
    Home: moves.toStart,
    End: moves.toEnd,
  };
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown") return true;
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return false;
    act();
    event.preventDefault();
    return false;
  });
}
