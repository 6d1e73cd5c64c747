/** Keeps a preview's stop and questions about it apart: a question that came too late would be answered with a 404. */
export class Stops {
  readonly #stopping = new Set<string>();
  readonly #asked = new Map<string, Set<Promise<unknown>>>();

  /** Whether this page is stopping the preview: then nothing is asked about it. */
  isStopping(generationId: string): boolean {
    return this.#stopping.has(generationId);
  }

  /** Note a question that is on its way. */
  note<T>(generationId: string, asked: Promise<T>): Promise<T> {
    const all = this.#asked.get(generationId) ?? new Set();
    this.#asked.set(generationId, all.add(asked));
    const over = (): unknown => all.delete(asked);
    asked.then(over, over);
    return asked;
  }

  /** Stop it once all questions are answered. */
  async run(generationId: string, stop: () => Promise<unknown>): Promise<void> {
    this.#stopping.add(generationId);
    try {
      const asked = this.#asked.get(generationId);
      if (asked) await Promise.allSettled(asked);
      await stop();
    } finally {
      this.#stopping.delete(generationId);
    }
  }
}
