import { expect, test } from "vitest";

import { pickDropped, pickInput } from "./folder";

/** A project with an environment in `tools/env`, and a folder of code that has the mark of one. */
const PATHS = [
  "shop/main.py",
  "shop/tools/env/pyvenv.cfg",
  "shop/tools/env/bin/python3.12",
  "shop/tools/env/lib/python3.12/site-packages/flask.py",
  "shop/code/pyvenv.cfg",
  "shop/code/lib/till.py",
];
const KEPT = ["code/lib/till.py", "code/pyvenv.cfg", "main.py"];

function fileOf(path: string): File {
  const file = new File(["x"], path.split("/").at(-1) ?? "");
  Object.defineProperty(file, "webkitRelativePath", { value: path });
  return file;
}

/** The folder or file at a path, as a browser gives it; it lists one entry at a time. */
function entryOf(path: string): FileSystemEntry {
  const inside = PATHS.filter((one) => one.startsWith(`${path}/`));
  const names = [...new Set(inside.map((one) => one.slice(path.length + 1).split("/")[0] ?? ""))];
  const entry = {
    name: path.split("/").at(-1),
    isFile: inside.length === 0,
    isDirectory: inside.length > 0,
    file: (done: (file: File) => void) => done(fileOf(path)),
    getDirectory: (inner: string, _: unknown, done: (found: FileSystemEntry) => void, failed: () => void) =>
      PATHS.some((one) => one.startsWith(`${path}/${inner}/`)) ? done(entryOf(`${path}/${inner}`)) : failed(),
    createReader: () => {
      const left = [...names];
      return {
        readEntries: (done: (found: FileSystemEntry[]) => void) =>
          done(left.splice(0, 1).map((one) => entryOf(`${path}/${one}`))),
      };
    },
  };
  return entry as unknown as FileSystemEntry;
}

test("a chosen folder is uploaded without the virtual environment in it", async () => {
  const picked = await pickInput(PATHS.map(fileOf) as unknown as FileList);
  expect(Object.keys(picked.kind === "files" ? picked.files : {}).sort()).toEqual(KEPT);
});

test("a dropped folder is uploaded without the virtual environment in it", async () => {
  const transfer = { items: [{ kind: "file", webkitGetAsEntry: () => entryOf("shop") }], files: [] };
  const picked = await pickDropped(transfer as unknown as DataTransfer);
  expect(Object.keys(picked.kind === "files" ? picked.files : {}).sort()).toEqual(KEPT);
});
