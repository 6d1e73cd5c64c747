import { isEnvironment } from "../client/environment";
import { contentOf } from "../lib/files/text";

/** Folders of tools and builds: never part of what is launched. The service skips them too. */
const SKIPPED = new Set([
  ".git",
  ".hg",
  ".svn",
  "node_modules",
  ".venv",
  "venv",
  "__pycache__",
  ".mypy_cache",
  ".pytest_cache",
  ".ruff_cache",
  ".tox",
  ".idea",
  ".vscode",
  "dist",
  "build",
  ".next",
  ".DS_Store",
]);
const MAX_FILES = 5_000;
const MAX_BYTES = 40 * 1024 * 1024;

export type Files = Record<string, string | { base64: string }>;

/** What was dropped or picked, ready to upload. */
export type Picked = { kind: "files"; name: string; files: Files } | { kind: "archive"; name: string; archive: File };

export class PickError extends Error {}

export function isArchive(name: string): boolean {
  return /\.(zip|tar\.gz|tgz)$/i.test(name);
}

/** What lies in a drop. Must be called while the event is handled: the browser takes the items away afterwards. */
export function pickDropped(transfer: DataTransfer): Promise<Picked> {
  const entries = [...transfer.items].flatMap((item) => {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    return entry ? [entry] : [];
  });
  const files = [...transfer.files];
  return pickEntries(entries, files);
}

async function pickEntries(entries: FileSystemEntry[], dropped: File[]): Promise<Picked> {
  const [only] = dropped;
  if (entries.length <= 1 && only && isArchive(only.name)) return archive(only);
  if (entries.length === 0) throw new PickError("Drop a folder, or a zip or tar.gz archive.");
  const files: [string, File][] = [];
  for (const entry of entries) await walk(entry, "", files);
  const root = entries.length === 1 && entries[0]?.isDirectory ? entries[0].name : "";
  return folder(root || "upload", root, files);
}

/** The files of `<input type="file" webkitdirectory>` or of a plain one. */
export async function pickInput(list: FileList): Promise<Picked> {
  const files = [...list];
  const [only] = files;
  if (files.length === 1 && only && isArchive(only.name)) return archive(only);
  const root = only?.webkitRelativePath.split("/")[0] ?? "";
  const found = files.map((file): [string, File] => [file.webkitRelativePath || file.name, file]);
  return folder(root || "upload", root, await withoutEnvironments(root, found));
}

function archive(file: File): Picked {
  return { kind: "archive", name: file.name.replace(/\.(zip|tar\.gz|tgz)$/i, ""), archive: file };
}

async function folder(name: string, root: string, found: readonly [string, File][]): Promise<Picked> {
  const files: Files = {};
  let size = 0;
  for (const [path, file] of found) {
    const inside = root && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
    if (inside.split("/").some((part) => SKIPPED.has(part)) || inside.endsWith(".pyc")) continue;
    size += file.size;
    if (size > MAX_BYTES)
      throw new PickError("The folder has more than 40 MB; upload it as a zip, or leave data files out.");
    files[inside] = contentOf(new Uint8Array(await file.arrayBuffer()));
    if (Object.keys(files).length > MAX_FILES)
      throw new PickError(`The folder has more than ${MAX_FILES} files; leave out data and build output.`);
  }
  if (Object.keys(files).length === 0)
    throw new PickError("The folder has no files to upload; choose the project’s folder.");
  return { kind: "files", name, files };
}

/** The files that are in no virtual environment below the root. */
async function withoutEnvironments(root: string, found: readonly [string, File][]): Promise<[string, File][]> {
  const names = new Map<string, Set<string>>();
  for (const [path] of found) {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth += 1) {
      const folder = parts.slice(0, depth).join("/");
      names.set(folder, (names.get(folder) ?? new Set<string>()).add(parts[depth] ?? ""));
    }
  }
  const environments: string[] = [];
  for (const [folder, inside] of names) {
    const namesIn = (inner: string): Promise<string[]> => Promise.resolve([...(names.get(`${folder}/${inner}`) ?? [])]);
    if (folder !== root && (await isEnvironment([...inside], namesIn))) environments.push(`${folder}/`);
  }
  return found.filter(([path]) => !environments.some((one) => path.startsWith(one)));
}

async function walk(entry: FileSystemEntry, prefix: string, found: [string, File][]): Promise<void> {
  if (SKIPPED.has(entry.name) || found.length > MAX_FILES) return;
  const path = prefix + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push([path, file]);
    return;
  }
  const folder = entry as FileSystemDirectoryEntry;
  const entries = await entriesOf(folder);
  const names = entries.map((one) => one.name);
  if (prefix !== "" && (await isEnvironment(names, (inner) => namesIn(folder, inner)))) return;
  for (const one of entries) await walk(one, `${path}/`, found);
}

/** The names in a folder inside a folder; none if it is not there. */
async function namesIn(folder: FileSystemDirectoryEntry, path: string): Promise<string[]> {
  const found = await new Promise<FileSystemEntry | null>((resolve) =>
    folder.getDirectory(path, {}, resolve, () => resolve(null)),
  );
  return found ? (await entriesOf(found as FileSystemDirectoryEntry)).map((one) => one.name) : [];
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives some at a time, and nothing at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    found.push(...some);
  }
}
