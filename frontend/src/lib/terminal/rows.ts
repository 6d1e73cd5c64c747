import type { IBuffer, IBufferLine } from "@xterm/xterm";

/** Which rows of a terminal belong to which of its lines. Lines are counted from the last one, which is 0. */

/** The last row that has been written. */
export function lastRow(buffer: IBuffer): number {
  return buffer.baseY + buffer.cursorY;
}

/** Lines that begin below `row`: 0 for the rows of the last line. */
export function linesBelow(buffer: IBuffer, row: number): number {
  let count = 0;
  for (let at = row + 1; at <= lastRow(buffer); at += 1) if (!buffer.getLine(at)?.isWrapped) count += 1;
  return count;
}

/** First row of the line that has `below` lines below it; null where that has been scrolled out. */
export function rowOf(buffer: IBuffer, below: number): number | null {
  let left = below;
  for (let at = lastRow(buffer); at >= 0; at -= 1) {
    if (buffer.getLine(at)?.isWrapped) continue;
    if (left === 0) return at;
    left -= 1;
  }
  return null;
}

/** The first row of the line that `row` is part of. */
export function startOf(buffer: IBuffer, row: number): number {
  let at = row;
  while (at > 0 && buffer.getLine(at)?.isWrapped) at -= 1;
  return at;
}

export interface LineText {
  text: string;
  /** Row and column of each UTF-16 unit, and one more for the end. */
  cells: { row: number; column: number }[];
}

/** A whole line's text and where each character stands: wide characters take two columns. */
export function lineText(buffer: IBuffer, start: number): LineText {
  let text = "";
  const cells: LineText["cells"] = [];
  let row = start;
  let line: IBufferLine | undefined = buffer.getLine(row);
  while (line) {
    for (let column = 0; column < line.length; column += 1) {
      const cell = line.getCell(column);
      if (!cell || cell.getWidth() === 0) continue;
      const characters = cell.getChars() || " ";
      text += characters;
      for (let unit = 0; unit < characters.length; unit += 1) cells.push({ row, column });
    }
    const next = buffer.getLine(row + 1);
    if (!next?.isWrapped) break;
    row += 1;
    line = next;
  }
  cells.push({ row, column: line?.length ?? 0 });
  return { text, cells };
}
