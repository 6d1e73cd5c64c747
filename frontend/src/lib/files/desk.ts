import type { EditorState } from "@codemirror/state";

import type { PreviewClient } from "../api/client";
import {
  changeFiles,
  type FileListing,
  type FilesEdit,
  type FilesSaved,
  listFiles,
  type NewContent,
  readFile,
  type StoredFile,
} from "../api/files";
import { asProblem, Problem } from "../api/problem";
import { MAX_TEXT_BYTES, textOf } from "./text";

/** A file with its text, and what the person has made of it. */
export interface OpenFile {
  path: string;
  /** Hash of the stored content that `stored` is the text of. */
  sha256: string;
  stored: string;
  text: string;
  /** The editor's own state, with what can be undone. */
  editor: EditorState | null;
  /** Grows when the text is replaced from outside of the editor. */
  round: number;
}

/** A new object with each change. */
export interface FilesSnapshot {
  listing: FileListing | null;
  problem: Problem | null;
  open: ReadonlyMap<string, OpenFile>;
  /** Unsaved files whose stored content has changed, or that were removed. */
  conflicts: ReadonlySet<string>;
  unsaved: ReadonlySet<string>;
  /** Why nothing can be saved; null where it can. */
  readOnly: string | null;
}

const NOT_MODIFIED = 304;
const CHANGED_MEANWHILE = 412;
// Others may change other files at the same time.
const TRIES = 4;
// Unsaved files are kept beside these.
const MOST_KEPT = 12;

/** The files of one generation as a person edits them. It outlives the panel, so that no unsaved text is lost. */
export class FileDesk {
  readonly #client: PreviewClient;
  readonly #generationId: string;
  readonly #listeners = new Set<() => void>();
  readonly #open = new Map<string, OpenFile>();
  /** Files on their way to the service: the list may have the new content before the answer comes. */
  readonly #saving = new Set<string>();
  #listing: FileListing | null = null;
  #problem: Problem | null = null;
  #readOnly: string | null = null;
  #refreshing: Promise<void> | null = null;
  #snapshot: FilesSnapshot;

  constructor(client: PreviewClient, generationId: string) {
    this.#client = client;
    this.#generationId = generationId;
    this.#snapshot = this.#look();
  }

  readonly snapshot = (): FilesSnapshot => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  find(path: string): StoredFile | undefined {
    return this.#listing?.files.find((one) => one.path === path);
  }

  /** Read the list again; files that nobody has changed here are read again with it. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** Read a file, unless it is here. Rejects with a sentence where it cannot be edited. */
  async read(path: string, signal?: AbortSignal): Promise<void> {
    if (this.#listing === null) await this.refresh();
    if (this.#open.has(path)) return;
    this.#put(await this.#fetch(path, signal));
  }

  async #fetch(path: string, signal?: AbortSignal): Promise<OpenFile> {
    const found = this.find(path);
    if (!found) throw this.#problem ?? new Problem(`There is no file ${path}.`, { code: "file_not_found" });
    if (!found.is_text)
      throw new Problem("This file is not UTF-8 text, so it cannot be shown. Download it instead.", {
        code: "not_text",
      });
    if (found.size_bytes > MAX_TEXT_BYTES)
      throw new Problem("This file is too large to edit here. Download it instead.", { code: "large" });
    const text = textOf(await readFile(this.#client, this.#generationId, path, signal));
    if (text === null)
      throw new Problem("This file is not UTF-8 text, so it cannot be shown. Download it instead.", {
        code: "not_text",
      });
    return { path, sha256: found.sha256, stored: text, text, editor: null, round: 0 };
  }

  /** Keep what the editor has. */
  write(path: string, text: string, editor: EditorState): void {
    const file = this.#open.get(path);
    if (!file) return;
    const next = { ...file, text, editor };
    this.#open.set(path, next);
    // Each key of a person comes by here: who shows the files needs to know only when the unsaved ones are others.
    if ((file.text === file.stored) !== (next.text === next.stored)) this.#tell();
    else this.#snapshot = this.#look();
  }

  /** Save a file with its unsaved text. Rejects with status 412 if its stored content has changed meanwhile. */
  async save(path: string, overwrite = false): Promise<FilesSaved> {
    const file = this.#open.get(path);
    if (!file) throw new Problem("This file is not open.");
    const { text } = file;
    const expected = overwrite ? undefined : file.sha256;
    this.#saving.add(path);
    try {
      const saved = await this.#change({ files: { [path]: text } }, { [path]: expected });
      const now = this.#open.get(path);
      if (now) this.#put({ ...now, stored: text, sha256: this.find(path)?.sha256 ?? "" });
      return saved;
    } finally {
      this.#saving.delete(path);
      this.#tell();
    }
  }

  /** Give up what was changed here. */
  async revert(path: string): Promise<void> {
    const before = this.#open.get(path);
    await this.refresh();
    this.#open.delete(path);
    if (!this.find(path)) {
      this.#tell();
      return;
    }
    await this.read(path);
    const file = this.#open.get(path);
    if (file) this.#put({ ...file, round: (before?.round ?? 0) + 1 });
  }

  create(path: string, content: NewContent): Promise<FilesSaved> {
    return this.#change({ files: { [path]: content } }, { [path]: null });
  }

  async rename(path: string, to: string, content: NewContent): Promise<FilesSaved> {
    const edit = { files: { [to]: content }, remove: [path] };
    const saved = await this.#change(edit, { [path]: this.find(path)?.sha256, [to]: null });
    this.#open.delete(path);
    this.#tell();
    return saved;
  }

  async remove(path: string): Promise<FilesSaved> {
    const saved = await this.#change({ remove: [path] }, { [path]: this.find(path)?.sha256 });
    this.#open.delete(path);
    this.#tell();
    return saved;
  }

  content(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return readFile(this.#client, this.#generationId, path);
  }

  /** Change the files if the named ones still have these contents: a hash, null for none, undefined for any. */
  async #change(edit: FilesEdit, expected: Record<string, string | null | undefined>): Promise<FilesSaved> {
    for (let left = TRIES - 1; ; left -= 1) {
      if (this.#listing === null) await this.refresh();
      if (this.#listing === null)
        throw this.#problem ?? new Problem("The list of files could not be loaded. Reload the page.");
      // Nothing is overwritten by a new name.
      const taken = Object.entries(expected).find(([path, hash]) => hash === null && this.find(path));
      if (taken) throw new Problem(`A file already exists: ${taken[0]}.`, { status: CHANGED_MEANWHILE });
      try {
        const saved = await changeFiles(this.#client, this.#generationId, edit, this.#listing.etag);
        // A list that was asked for before may not have the change.
        await this.#refreshing;
        await this.refresh();
        return saved;
      } catch (error) {
        const problem = asProblem(error);
        if (problem.code === "generation_read_only") {
          this.#readOnly = problem.message;
          this.#tell();
        }
        if (problem.status !== CHANGED_MEANWHILE) throw problem;
        await this.refresh();
        const isSame = Object.entries(expected).every(
          ([path, hash]) => hash === undefined || (this.find(path)?.sha256 ?? null) === hash,
        );
        if (!isSame || left === 0) throw problem;
      }
    }
  }

  async #refresh(): Promise<void> {
    try {
      this.#listing = await listFiles(this.#client, this.#generationId, this.#listing?.etag);
      this.#problem = null;
      await this.#readAgain();
    } catch (error) {
      const problem = asProblem(error);
      if (problem.status !== NOT_MODIFIED) this.#problem = problem;
      else this.#problem = null;
    }
    this.#tell();
  }

  async #readAgain(): Promise<void> {
    for (const file of [...this.#open.values()]) {
      const found = this.find(file.path);
      if (found?.sha256 === file.sha256 || file.text !== file.stored) continue;
      const next = found ? await this.#fetch(file.path).catch(() => null) : null;
      // What was typed meanwhile stays: it is a conflict then.
      if (this.#open.get(file.path) !== file) continue;
      if (next) this.#open.set(file.path, { ...next, round: file.round + 1 });
      else this.#open.delete(file.path);
    }
  }

  #put(file: OpenFile): void {
    this.#open.delete(file.path);
    this.#open.set(file.path, file);
    const saved = [...this.#open.values()].filter((one) => one.text === one.stored && one.path !== file.path);
    for (const one of saved.slice(0, Math.max(0, saved.length - MOST_KEPT))) this.#open.delete(one.path);
    this.#tell();
  }

  #look(): FilesSnapshot {
    const unsaved = [...this.#open.values()].filter((one) => one.text !== one.stored);
    const conflicts = unsaved.filter(
      (one) => this.#listing !== null && !this.#saving.has(one.path) && this.find(one.path)?.sha256 !== one.sha256,
    );
    return {
      listing: this.#listing,
      problem: this.#problem,
      open: new Map(this.#open),
      conflicts: new Set(conflicts.map((one) => one.path)),
      unsaved: new Set(unsaved.map((one) => one.path)),
      readOnly: this.#readOnly,
    };
  }

  #tell(): void {
    this.#snapshot = this.#look();
    for (const listener of [...this.#listeners]) listener();
  }
}

const desks = new WeakMap<PreviewClient, Map<string, FileDesk>>();

/** The desk of a generation; the same for each caller. */
export function fileDeskOf(client: PreviewClient, generationId: string): FileDesk {
  const known = desks.get(client) ?? new Map<string, FileDesk>();
  desks.set(client, known);
  const desk = known.get(generationId) ?? new FileDesk(client, generationId);
  known.set(generationId, desk);
  return desk;
}
