const CHUNK = 512;

/** How high each row of a list is: one height for all, and what is known to differ, by position. */
export class Heights {
  rowPx: number;
  readonly #chunks = new Map<number, { sum: number; extra: Map<number, number> }>();

  constructor(rowPx: number) {
    this.rowPx = rowPx;
  }

  of(position: number): number {
    return this.rowPx + (this.#chunks.get(chunkOf(position))?.extra.get(position) ?? 0);
  }

  /** Note a height; whether that changes anything. */
  set(position: number, px: number): boolean {
    const chunk = this.#chunks.get(chunkOf(position)) ?? { sum: 0, extra: new Map<number, number>() };
    const before = chunk.extra.get(position) ?? 0;
    const extra = px - this.rowPx;
    if (Math.abs(extra - before) < 0.01) return false;
    chunk.sum += extra - before;
    if (extra === 0) chunk.extra.delete(position);
    else chunk.extra.set(position, extra);
    this.#chunks.set(chunkOf(position), chunk);
    return true;
  }

  clear(): void {
    this.#chunks.clear();
  }

  /** Forget the rows before this one. */
  forgetBefore(first: number): void {
    for (const [index, chunk] of this.#chunks) {
      if ((index + 1) * CHUNK <= first) this.#chunks.delete(index);
      else if (index * CHUNK < first) {
        for (const [position, extra] of chunk.extra) {
          if (position >= first) continue;
          chunk.extra.delete(position);
          chunk.sum -= extra;
        }
      }
    }
  }

  /** Pixels between the top of `first`, before which all is forgotten, and the top of `position`. */
  offset(first: number, position: number): number {
    let px = (position - first) * this.rowPx;
    const last = chunkOf(position);
    for (const [index, { sum, extra }] of this.#chunks) {
      if (index < last) px += sum;
      else if (index === last) for (const [at, more] of extra) if (at < position) px += more;
    }
    return px;
  }

  /** The row that has the pixel `y` below the top of `first`. */
  at(first: number, end: number, y: number): number {
    let left = y;
    let position = first;
    while (position < end) {
      const index = chunkOf(position);
      const next = Math.min((index + 1) * CHUNK, end);
      const px = (next - position) * this.rowPx + (this.#chunks.get(index)?.sum ?? 0);
      if (left >= px && next < end) {
        left -= px;
        position = next;
        continue;
      }
      for (; position < next - 1; position += 1) {
        const own = this.of(position);
        if (left < own) break;
        left -= own;
      }
      return position;
    }
    return Math.max(first, end - 1);
  }
}

function chunkOf(position: number): number {
  return Math.floor(position / CHUNK);
}
