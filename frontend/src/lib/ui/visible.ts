/**
 * Text of others as it may be shown: what could act unseen is written as an escape.
 *
 * A control character may move the cursor or call the terminal; a bidirectional control may show text in another order
 * than it has; U+2028 and U+2029 begin a line. `preview/visible.py` has the same set, and `tests/visible_characters.json`
 * is the table that both are tested against.
 */

const COLOUR = "\\u001b\\[[0-9;:]*m";
// C0 but tab and line feed, DEL, C1; U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069; halves of pairs.
const UNSEEN =
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]";
const ANY = new RegExp(UNSEEN, "gu");
const COLOURS = new RegExp(COLOUR, "gu");
const ANY_OR_COLOUR = new RegExp(`(${COLOUR})|${UNSEEN}`, "gu");

/** The text with each character that could act unseen written as `\uXXXX`; tabs and line feeds stay. */
export function visible(text: string): string {
  return text.replace(ANY, escaped);
}

/** The same without colours (SGR sequences), for output that is shown as plain text. */
export function visibleWithoutColours(text: string): string {
  return visible(text.replace(COLOURS, ""));
}

/** The same, but colours (SGR sequences) stay too. */
export function visibleColoured(text: string): string {
  return text.replace(ANY_OR_COLOUR, (found: string, colour: string | undefined) => colour ?? escaped(found));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
