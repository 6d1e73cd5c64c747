/** What a line is to a stack of a failure: its first line, one of it, or none of it. */
export interface Step {
  kind: "none" | "opens" | "belongs";
  /** How many of the lines before it belong to the stack too, as only this line shows. */
  back: number;
}

export interface Place {
  /** As people know it: within the project or the package. */
  path: string;
  line: number;
  isOwn: boolean;
}

/** A stack in a few words. */
export interface StackSummary {
  /** Type and message of the failure. */
  title: string;
  /** The innermost place in the project's own code. */
  place: Place | null;
  frames: number;
}

const NONE: Step = { kind: "none", back: 0 };
const BELONGS: Step = { kind: "belongs", back: 0 };
const TRACEBACK = "Traceback (most recent call last)";
const CHAINED = /^(?:During handling of the above exception|The above exception was the direct cause)/;
const END = /^[A-Za-z_][\w.]{0,300}(?:: |:?$)/;
const LOG_HEAD = /^[[(<]?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b/;
/** Lines that belong to a message although they are not indented: of SQLAlchemy, of drivers. */
const MORE = /^(?:\[SQL: |\[parameters: |\(Background on this error|DETAIL:|HINT:|LINE \d|CONTEXT:)/;
const MANY = /\d{1,9} validation errors?(?: for |:)/;
const FIELD = /^[\w.[\]-]{1,200}$/;
const NODE_END = /(?::\d{1,9}:\d{1,9}|native|<anonymous>|index \d{1,9})\)?(?: \{)?$/;
/** Longer lines are no part of a stack, but of what it says. */
const MOST_READ = 2_000;
const MOST_LINES = 5_000;

type Mode = "none" | "frames" | "message" | "blank" | "chained" | "node";

/** Tells stacks of Python and Node by the shape of their lines, one line after the other. */
export class StackScanner {
  #mode: Mode = "none";
  #isMany = false;
  #isInObject = false;
  #lines = 0;

  /** Whether a stack is open that the next line may belong to. */
  get isInside(): boolean {
    return this.#mode !== "none";
  }

  /** The next line is no neighbour of the last one. */
  stop(): void {
    this.#mode = "none";
  }

  /** Take a line without colours. `before` is the line above it; null if that cannot be the head of a stack. */
  take(text: string, before: string | null): Step {
    const line = text.slice(0, MOST_READ);
    if (this.#mode !== "none" && (this.#lines += 1) > MOST_LINES) this.#mode = "none";
    const step = this.#continue(line);
    if (step) return step;
    this.#mode = "none";
    if (opensPython(line)) {
      this.#open("frames");
      return { kind: "opens", back: 0 };
    }
    if (before !== null && before.trim() !== "" && !isNodeFrame(before) && isNodeFrame(line)) {
      this.#open("node");
      this.#isInObject = line.endsWith(" {");
      return { kind: "opens", back: 1 };
    }
    return NONE;
  }

  #open(mode: Mode): void {
    this.#mode = mode;
    this.#lines = 1;
    this.#isMany = this.#isInObject = false;
  }

  /** What the line is to the open stack; null where it ends it. */
  #continue(line: string): Step | null {
    switch (this.#mode) {
      case "none":
        return null;
      case "node":
        return this.#continueNode(line);
      case "frames":
        return this.#continueFrames(line);
      case "message":
        if (line.trim() === "") {
          this.#mode = "blank";
          return NONE;
        }
        return this.#isOfMessage(line) ? BELONGS : null;
      case "blank":
        if (!CHAINED.test(bare(line))) return null;
        this.#mode = "chained";
        return { kind: "belongs", back: 1 };
      case "chained":
        if (opensPython(line)) this.#mode = "frames";
        else if (bare(line).trim() !== "") return null;
        return BELONGS;
    }
  }

  #continueFrames(line: string): Step | null {
    const text = bare(line);
    if (/^\s/.test(line) || text.trim() === "" || /^[|+]/.test(line)) return BELONGS;
    if (!END.test(text) || LOG_HEAD.test(text)) return null;
    this.#mode = "message";
    this.#isMany = MANY.test(text);
    return BELONGS;
  }

  #isOfMessage(line: string): boolean {
    return /^\s/.test(line) || MORE.test(line) || (this.#isMany && FIELD.test(line));
  }

  #continueNode(line: string): Step | null {
    if (isNodeFrame(line) || /^\s+\.\.\. \d{1,9} lines matching cause stack/.test(line)) {
      this.#isInObject ||= line.endsWith(" {");
      return BELONGS;
    }
    if (!this.#isInObject) return null;
    if (/^\}/.test(line)) {
      this.#mode = "none";
      return BELONGS;
    }
    return /^\s/.test(line) ? BELONGS : null;
  }
}

function opensPython(line: string): boolean {
  if (!line.includes(TRACEBACK)) return false;
  const text = bare(line).replace(/^Exception Group /, "");
  return text.startsWith(TRACEBACK) || line.endsWith(`${TRACEBACK}:`);
}

/** A line of a group's member without the marks of the group. */
function bare(line: string): string {
  return line.replace(/^[\s|+-]{0,200}/, (marks) => (/[|+]/.test(marks) ? "" : marks));
}

function isNodeFrame(line: string): boolean {
  return /^\s{2,40}at \S/.test(line) && line.length < MOST_READ && NODE_END.test(line);
}

const PYTHON_FRAME = /File "([^"]{1,4096})", line (\d{1,9})/;
const NODE_FRAME = /([^\s()]{1,1500}):(\d{1,9}):\d{1,9}\)?(?: \{)?$/;
const FOREIGN = /(?:^|\/)(?:site-packages|dist-packages|node_modules|\.pnpm|__pypackages__)\//;
const STANDARD = /^.{0,1000}\/(?:lib|lib64)\/python\d(?:\.\d{1,2})?\/|^.{0,1000}\/python\d{2,3}\.zip\//;
/** The folder of a preview's copy of the project, on the service's machine. */
const COPY = /^(?:file:\/\/)?\/.{0,1000}\/preview_[2-9a-z]{16}\/project\//;

/** A frame in a line, with the part of the line that is its path; null where there is none. */
export interface FrameInLine {
  place: Place;
  from: number;
  to: number;
}

/** The frame that a line of a stack names. */
export function frameOf(text: string): FrameInLine | null {
  if (text.length > MOST_READ) return null;
  const python = PYTHON_FRAME.exec(text);
  const found = python ?? (/^\s{2,40}at /.test(text) ? NODE_FRAME.exec(text) : null);
  if (!found) return null;
  const [whole, path = "", line] = found;
  const from = found.index + whole.indexOf(path);
  return { place: { ...lookAt(path), line: Number(line) }, from, to: from + path.length };
}

function lookAt(path: string): Pick<Place, "path" | "isOwn"> {
  if (/^(?:<|node:|internal\/|\[)/.test(path)) return { path, isOwn: false };
  const inPackage = Math.max(
    ...["/site-packages/", "/dist-packages/", "/node_modules/"].map((one) => after(path, one)),
  );
  if (FOREIGN.test(path)) return { path: path.slice(Math.max(0, inPackage)), isOwn: false };
  const copy = COPY.exec(path);
  if (copy) return { path: path.slice(copy[0].length), isOwn: true };
  const standard = STANDARD.exec(path);
  if (standard) return { path: path.slice(standard[0].length), isOwn: false };
  const short = path.replace(/^\.\//, "");
  // Compiled packages name their sources by paths from a folder that is not here.
  return { path: short, isOwn: path.startsWith("/") || !(short.includes("/") && /\.px[di]$|\.pyx$/.test(short)) };
}

function after(path: string, part: string): number {
  const at = path.lastIndexOf(part);
  return at === -1 ? -1 : at + part.length;
}

/** Whether a place is a file of the project that can be opened. */
export function isOpenable({ path, isOwn }: Place): boolean {
  return isOwn && !path.startsWith("/") && !path.split("/").includes("..");
}

/** The stack in these lines, without colours, in a few words. */
export function summaryOf(lines: readonly string[]): StackSummary {
  let place: Place | null = null;
  let frames = 0;
  let title = lines[0] ?? "";
  let isMessage = false;
  const isPython = opensPython(title);
  for (const line of lines) {
    const frame = frameOf(line);
    if (frame) {
      frames += 1;
      isMessage = false;
      // Python has the innermost frame last, Node first.
      if (frame.place.isOwn && (isPython || place === null)) place = frame.place;
    } else if (isPython && !isMessage) {
      const text = bare(line);
      if (!/^\s/.test(text) && END.test(text) && !LOG_HEAD.test(text) && !opensPython(line)) {
        title = text;
        isMessage = true;
      }
    }
    if (CHAINED.test(bare(line))) isMessage = false;
  }
  return { title: title.trim(), place, frames };
}
