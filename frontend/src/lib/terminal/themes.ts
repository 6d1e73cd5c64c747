import type { ITheme } from "@xterm/xterm";

export type Theme = "light" | "dark";

/** The terminal's colours. Text on the background has at least 4.5:1; xterm.js sees to it for what programs choose. */
export const THEMES: Record<Theme, ITheme> = {
  dark: {
    background: "#0d1117",
    foreground: "#d7dce3",
    cursor: "#0d1117",
    selectionBackground: "#3b4d6b",
    black: "#484f58",
    red: "#ff8a80",
    green: "#7ee08a",
    yellow: "#f0c76b",
    blue: "#82b4ff",
    magenta: "#d7a6ff",
    cyan: "#6fd3e0",
    white: "#d7dce3",
    brightBlack: "#8b95a3",
    brightRed: "#ffa69e",
    brightGreen: "#a0efa8",
    brightYellow: "#ffdd94",
    brightBlue: "#a6ccff",
    brightMagenta: "#e4c4ff",
    brightCyan: "#9ce6ef",
    brightWhite: "#f5f7fa",
    scrollbarSliderBackground: "#8b95a34d",
    scrollbarSliderHoverBackground: "#8b95a380",
    scrollbarSliderActiveBackground: "#8b95a3a6",
  },
  light: {
    background: "#fbfbfd",
    foreground: "#1f2530",
    cursor: "#fbfbfd",
    selectionBackground: "#c3d4f7",
    black: "#1f2530",
    red: "#b3261e",
    green: "#1a6e2e",
    yellow: "#7d5300",
    blue: "#1d4fb8",
    magenta: "#7a2ea0",
    cyan: "#0b6672",
    white: "#5c6675",
    brightBlack: "#5c6675",
    brightRed: "#c4332a",
    brightGreen: "#1f7a36",
    brightYellow: "#8a5d00",
    brightBlue: "#2a5fd0",
    brightMagenta: "#8c3bb5",
    brightCyan: "#0e7481",
    brightWhite: "#1f2530",
    scrollbarSliderBackground: "#5c667540",
    scrollbarSliderHoverBackground: "#5c667573",
    scrollbarSliderActiveBackground: "#5c667599",
  },
};

/** Marks of found text: all of them, and the one looked at. Opaque: decorations of xterm.js have no alpha. */
export const FOUND: Record<Theme, { every: string; current: string }> = {
  dark: { every: "#5c4a14", current: "#a06a00" },
  light: { every: "#ffe9a8", current: "#ffc34d" },
};
