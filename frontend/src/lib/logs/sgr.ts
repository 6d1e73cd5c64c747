import { coloured } from "./text";

/** A colour of output: one of the sixteen by number, or red, green and blue. */
export type Colour = number | readonly [number, number, number];

export interface Style {
  fg?: Colour | undefined;
  bg?: Colour | undefined;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
  strike?: boolean;
  inverse?: boolean;
}

/** A part of a line with one style. */
export interface Run {
  text: string;
  style: Style;
}

/** Parts of one line; what has more is shown without the rest of its colours. */
const MOST_RUNS = 500;
const SGR = /\u001b\[([0-9;:]*)m/g;
const STEPS = [0, 95, 135, 175, 215, 255];

/** A line's parts by its SGR sequences; what else could act unseen is shown as an escape. */
export function runsOf(message: string): Run[] {
  const text = coloured(message);
  if (!text.includes("\u001b")) return [{ text, style: {} }];
  const runs: Run[] = [];
  let style: Style = {};
  let from = 0;
  for (const found of text.matchAll(SGR)) {
    if (found.index > from) runs.push({ text: text.slice(from, found.index), style });
    from = found.index + found[0].length;
    if (runs.length < MOST_RUNS) style = changed(style, found[1] ?? "");
    else style = {};
  }
  if (from < text.length) runs.push({ text: text.slice(from), style });
  return runs;
}

function changed(before: Style, codes: string): Style {
  let style = { ...before };
  const all = codes.split(/[;:]/).map(Number);
  for (let at = 0; at < all.length; at += 1) {
    const code = all[at] ?? 0;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.strike = false;
    else if (code === 39) style.fg = undefined;
    else if (code === 49) style.bg = undefined;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(all.slice(at + 1));
      if (code === 38) style.fg = colour;
      else style.bg = colour;
      at += used;
    }
  }
  return style;
}

/** `5;n` or `2;r;g;b`, and how many numbers that takes. */
function extended([kind, ...rest]: number[]): [Colour | undefined, number] {
  if (kind === 5) return [indexed(byte(rest[0])), 2];
  if (kind === 2) return [[byte(rest[0]), byte(rest[1]), byte(rest[2])], 4];
  return [undefined, 1];
}

function byte(value: number | undefined): number {
  return Math.max(0, Math.min(255, value ?? 0)) || 0;
}

function indexed(index: number): Colour {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [grey, grey, grey];
  }
  const cube = index - 16;
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((one) => STEPS[one] ?? 0) as unknown as Colour;
}
