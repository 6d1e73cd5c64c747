import type { Colour } from "../logs/sgr";
import type { Theme } from "../ui/theme";

export type Rgb = readonly [number, number, number];

const hex = (text: string): Rgb => [0, 2, 4].map((at) => parseInt(text.slice(at, at + 2), 16)) as unknown as Rgb;
const table = (text: string): Rgb[] => text.split(" ").map(hex);

/** The sixteen colours of programs; text on the ground has at least 4.5:1. */
const SIXTEEN: Record<Theme, Rgb[]> = {
  dark: table(
    "8b95a3 ff8a80 7ee08a f0c76b 82b4ff d7a6ff 6fd3e0 d7dce3 8b95a3 ffa69e a0efa8 ffdd94 a6ccff e4c4ff 9ce6ef f5f7fa",
  ),
  light: table(
    "1f2530 b3261e 1a6e2e 7d5300 1d4fb8 7a2ea0 0b6672 5c6675 5c6675 c4332a 1f7a36 8a5d00 2a5fd0 8c3bb5 0e7481 1f2530",
  ),
};
const GROUND: Record<Theme, Rgb> = { dark: hex("0d1117"), light: hex("fbfbfd") };
const TEXT: Record<Theme, Rgb> = { dark: hex("d7dce3"), light: hex("1f2530") };
const LEAST = 4.5;

/** Text and ground of a part of a line as it can be read; undefined where it is the line's own. */
export function readable(
  fg: Colour | undefined,
  bg: Colour | undefined,
  isInverse: boolean,
  theme: Theme,
): { color?: string; background?: string } {
  if (fg === undefined && bg === undefined && !isInverse) return {};
  const text = rgb(fg, theme) ?? TEXT[theme];
  const ground = rgb(bg, theme) ?? GROUND[theme];
  const [front, back] = isInverse ? [ground, text] : [text, ground];
  return {
    color: css(contrasted(front, back)),
    ...((bg !== undefined || isInverse) && { background: css(back) }),
  };
}

function rgb(colour: Colour | undefined, theme: Theme): Rgb | undefined {
  return typeof colour === "number" ? SIXTEEN[theme][colour] : colour;
}

function css(colour: Rgb): string {
  return `rgb(${colour.map(Math.round).join(" ")})`;
}

/** The colour, as far towards black or white as its ground needs. */
function contrasted(front: Rgb, back: Rgb): Rgb {
  const towards: Rgb = luminance(back) > 0.18 ? [0, 0, 0] : [255, 255, 255];
  for (let part = 0; part < 1; part += 0.1) {
    const mixed = front.map((one, at) => one + ((towards[at] ?? 0) - one) * part) as unknown as Rgb;
    if (ratio(mixed, back) >= LEAST) return mixed;
  }
  return towards;
}

function ratio(one: Rgb, other: Rgb): number {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function luminance(colour: Rgb): number {
  const [r = 0, g = 0, b = 0] = colour.map((one) => {
    const part = one / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
