import styles from "./line.module.css";

/** The rows of a list that are in the page, in order; each is made when it comes near what is in sight. */
export class ShownRows {
  readonly element: HTMLElement;
  readonly #make: (position: number) => HTMLElement | undefined;
  readonly #shown = new Map<number, HTMLElement>();

  constructor(make: (position: number) => HTMLElement | undefined) {
    this.#make = make;
    this.element = document.createElement("div");
    this.element.className = styles.rows ?? "rows";
    this.element.dataset["logRows"] = "";
  }

  get(position: number): HTMLElement | undefined {
    return this.#shown.get(position);
  }

  /** Take one row out of the page: it is made again where it is needed. */
  drop(position: number): void {
    this.#shown.get(position)?.remove();
    this.#shown.delete(position);
  }

  clear(): void {
    this.#shown.clear();
    this.element.replaceChildren();
  }

  /** Have the rows of these positions in the page and no others; returns those that are new there. */
  put(from: number, to: number): [number, HTMLElement][] {
    for (const position of [...this.#shown.keys()]) if (position < from || position >= to) this.drop(position);
    const made: [number, HTMLElement][] = [];
    let after: Element | null = null;
    for (let position = from; position < to; position += 1) {
      let row = this.#shown.get(position);
      if (!row) {
        row = this.#make(position);
        if (!row) continue;
        if (after) after.after(row);
        else this.element.prepend(row);
        this.#shown.set(position, row);
        made.push([position, row]);
      }
      after = row;
    }
    return made;
  }

  /** Move each row to where it belongs in a list of this height. */
  place(height: number, offsetOf: (position: number) => number): void {
    for (const [position, row] of this.#shown) {
      const transform = `translateY(${offsetOf(position)}px)`;
      if (row.style.transform !== transform) row.style.transform = transform;
    }
    this.element.style.height = `${height}px`;
  }
}
