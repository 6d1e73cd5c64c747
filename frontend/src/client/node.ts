/** Files of a folder, for Node. */
import type { Dirent } from "node:fs";
import { lstat, open, readdir, realpath, stat } from "node:fs/promises";
import { join, resolve, sep } from "node:path";

import { isEnvironment } from "./environment.js";
import { InvalidUpload } from "./errors.js";
import { MAX_UPLOAD_BYTES, MAX_UPLOAD_FILES } from "./preview.js";

/** The same as for `preview push`: folders that tools recreate, which a preview does not need. */
export const SKIPPED: ReadonlySet<string> = new Set(
  (
    ".git .hg .svn .jj node_modules __pycache__ __pypackages__ .venv .tox .nox .eggs .mypy_cache .pytest_cache " +
    ".ruff_cache .hypothesis .ipynb_checkpoints .cache site-packages bower_components .idea .vscode .DS_Store __MACOSX"
  ).split(" "),
);
export const SKIPPED_SUFFIXES: readonly string[] = [
  ".pyc",
  ".pyo",
  "~",
  ".swp",
  ".swo",
  ".swx",
  ".kate-swp",
  "___jb_tmp___",
  "___jb_old___",
];
export const SKIPPED_PREFIXES: readonly string[] = [".#", ".goutputstream-"];
/** Folders deeper than this are a mistake, such as a loop. */
const MAX_DEPTH = 64;

/** The files below a folder by path, without version control, caches and environments. Throws `InvalidUpload`. */
export async function readFolder(folder: string): Promise<Record<string, Uint8Array>> {
  const top = resolve(folder);
  const root = await realpath(top).catch(() => null);
  if (root === null || !(await stat(root)).isDirectory()) {
    throw new InvalidUpload(`The folder ${top} does not exist; give the path of the project's folder.`);
  }
  const reading = new Reading(root);
  await reading.walk(root, "", [root]);
  if (Object.keys(reading.found).length === 0) throw new InvalidUpload(`The folder ${top} has no files.`);
  return reading.found;
}

class Reading {
  readonly found: Record<string, Uint8Array> = {};
  readonly #root: string;
  #count = 0;
  #left = MAX_UPLOAD_BYTES;

  constructor(root: string) {
    this.#root = root;
  }

  async walk(folder: string, prefix: string, above: readonly string[]): Promise<void> {
    if (above.length > MAX_DEPTH)
      throw new InvalidUpload(`${prefix} is more than ${MAX_DEPTH} folders deep; leave out generated folders.`);
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      throw unreadable(folder, error);
    });
    const names = entries.map((entry) => entry.name);
    if (prefix !== "" && (await isEnvironment(names, (inner) => namesIn(join(folder, inner))))) return;
    for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
      if (!isSkipped(entry.name)) await this.#take(entry, folder, `${prefix}${entry.name}`, above);
    }
  }

  async #take(entry: Dirent, folder: string, path: string, above: readonly string[]): Promise<void> {
    const real = entry.isSymbolicLink() ? await this.#target(join(folder, entry.name), path) : join(folder, entry.name);
    if (real === null) return;
    const facts = await stat(real).catch(() => null);
    // A link to a parent folder would lead into it again.
    if (facts?.isDirectory() && !above.includes(real)) await this.walk(real, `${path}/`, [...above, real]);
    else if (facts?.isFile()) await this.#read(real, path);
  }

  /** Where a link leads, inside the folder; null if it is broken. */
  async #target(link: string, path: string): Promise<string | null> {
    const target = await realpath(link).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return null;
      throw new InvalidUpload(`The link ${path} cannot be followed; remove it.`);
    });
    if (target === null || target === this.#root || target.startsWith(this.#root + sep)) return target;
    throw new InvalidUpload(`The symbolic link ${path} points outside the folder; replace it with the file itself.`);
  }

  async #read(file: string, path: string): Promise<void> {
    this.#count += 1;
    if (this.#count > MAX_UPLOAD_FILES)
      throw new InvalidUpload(`The folder has more than ${MAX_UPLOAD_FILES} files; leave out data and build output.`);
    try {
      const opened = await open(file);
      try {
        const { size } = await opened.stat();
        if (size > this.#left) throw tooLarge();
        const content = await opened.readFile();
        this.#left -= content.length;
        if (this.#left < 0) throw tooLarge();
        this.found[path] = content;
      } finally {
        await opened.close();
      }
    } catch (error) {
      // Removed since the listing.
      if (codeOf(error) === "ENOENT") return;
      throw error instanceof InvalidUpload ? error : unreadable(path, error);
    }
  }
}

/** Names in a folder; none if it is a link or cannot be read. */
async function namesIn(folder: string): Promise<string[]> {
  const facts = await lstat(folder).catch(() => null);
  return facts?.isDirectory() ? await readdir(folder).catch(() => []) : [];
}

function isSkipped(name: string): boolean {
  return (
    SKIPPED.has(name) ||
    SKIPPED_SUFFIXES.some((one) => name.endsWith(one)) ||
    SKIPPED_PREFIXES.some((one) => name.startsWith(one)) ||
    // Autosave files of Emacs.
    /^#.*#$/.test(name)
  );
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function unreadable(path: string, error: unknown): InvalidUpload {
  return new InvalidUpload(
    `${path} cannot be read (${codeOf(error) ?? String(error)}); fix its permissions, or leave it out.`,
  );
}

function tooLarge(): InvalidUpload {
  return new InvalidUpload(`The files exceed ${MAX_UPLOAD_BYTES} bytes in total; leave out data and build output.`);
}
