import type { LogLine } from "../api/types";
import type { Entry } from "../logs/store";
import type { Translate } from "../texts/translate";
import type { Theme } from "../ui/theme";

export interface ScreenOptions {
  timestamps: boolean;
  wrap: boolean;
  theme: Theme;
  fontSize: number;
  /** Number of the line that is chosen. */
  line: number | null;
  /** Whether places in the project's code are links. */
  canOpenFiles: boolean;
  /** Values of JSON lines that are columns. */
  columns: readonly string[];
  /** The words of the host. */
  t: Translate;
}

export interface ScreenState {
  isFollowing: boolean;
  /** Lines that have come since one looked away from the end. */
  newLines: number;
}

/** The line whose head the pointer is on, and where the pointer is. */
export interface HoveredLine {
  entry: Entry;
  x: number;
  y: number;
}

export interface ScreenEvents {
  onState: (state: ScreenState) => void;
  /** The oldest line here is in sight. */
  onNeedOlder: () => void;
  /** The pointer is on a line's timestamp or gutter. */
  onHover: (line: HoveredLine | null) => void;
  /** Its timestamp or gutter was clicked. */
  onPick: (seq: number) => void;
  /** Words for a row with marks of its own: those of its lines, from one number to another. */
  noteOf: (from: number, to: number) => string | undefined;
  /** A term for the filter was clicked. */
  onTerm: (term: string) => void;
  /** Show a value as a column, or remove its column. */
  onColumn: (path: string) => void;
  /** A place in the project's code was clicked. */
  onFile: (path: string, line: number) => void;
  isMarked: (line: LogLine) => boolean;
}
