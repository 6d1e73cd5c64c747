import type { LogLine } from "../api/types";
import type { HoveredLine } from "./lineHeads";
import type { Theme } from "./themes";

export interface ScreenOptions {
  timestamps: boolean;
  wrap: boolean;
  theme: Theme;
  fontSize: number;
  /** For screen readers: the lines in sight are in the page as text, and new ones are spoken. */
  isSpoken: boolean;
  /** Number of the line that is chosen. */
  line: number | null;
}

export interface ScreenState {
  isFollowing: boolean;
  /** Lines that have come since one looked away from the end. */
  newLines: number;
}

export interface ScreenEvents {
  onState: (state: ScreenState) => void;
  /** The oldest line here is in sight. */
  onNeedOlder: () => void;
  /** The pointer is on a line's timestamp or gutter. */
  onHover: (line: HoveredLine | null) => void;
  /** Its timestamp or gutter was clicked. */
  onPick: (seq: number) => void;
  isMarked: (line: LogLine) => boolean;
}
