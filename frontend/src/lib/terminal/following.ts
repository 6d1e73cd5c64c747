import type { LogRows } from "../logs/rows";
import type { ScreenState } from "./screenTypes";

/** Whether one is at the end of the log and stays there, and how much has come since one looked away. */
export class Following {
  readonly #onState: (state: ScreenState) => void;
  #isOn = true;
  #seenEnd = 0;

  constructor(onState: (state: ScreenState) => void) {
    this.#onState = onState;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Follow, or stay where one is: meanwhile the log forgets nothing that is in sight. */
  turn(isOn: boolean, rows: LogRows): void {
    if (isOn !== this.#isOn) this.#seenEnd = rows.view.end;
    this.#isOn = isOn;
    rows.store.hold(!isOn);
    this.report(rows);
  }

  report(rows: LogRows): void {
    const newLines = this.#isOn ? 0 : Math.max(0, rows.view.end - this.#seenEnd);
    this.#onState({ isFollowing: this.#isOn, newLines });
  }
}
