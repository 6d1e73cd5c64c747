// @vitest-environment node
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, expect, test } from "vitest";

import { readFolder } from "./node";

const made: string[] = [];

afterEach(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true });
});

async function folderOf(...names: string[]): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "upload-"));
  made.push(root);
  for (const name of names) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), "");
  }
  return root;
}

test.each([["shop/lib/main.py"], ["shop/bin/python_app.py"], ["shop/Lib/python3.12/main.py"]])(
  "code beside the mark of an environment is uploaded: %s",
  async (name) => {
    const files = await readFolder(await folderOf("shop/pyvenv.cfg", "shop/.env", name));
    expect(Object.keys(files)).toContain(name);
  },
);

test.each([
  ["bin/python3.12"],
  ["Scripts/python.exe"],
  ["Lib/site-packages/a.py"],
  ["lib/pypy3.10/site-packages/a.py"],
])("an interpreter or packages make an environment: %s", async (name) => {
  const files = await readFolder(await folderOf("main.py", "env1/pyvenv.cfg", `env1/${name}`));
  expect(Object.keys(files)).toEqual(["main.py"]);
});
