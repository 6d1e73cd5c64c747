import { describe, expect, test, vi } from "vitest";

import { PreviewClient } from "../api/client";
import { inEnglish } from "../texts/translate";
import { FileDesk } from "./desk";
import { badPath, contentOf, separatorOf, textOf } from "./text";
import { foundRows, rowsOf } from "./tree";
import { savedWords } from "./words";

/** A service with files, whose tag grows with each change. */
function madeUp(files: Record<string, string>) {
  let revision = 1;
  const listing = () => ({
    etag: `"${revision}"`,
    files: Object.keys(files)
      .sort()
      .map((path) => ({ path, size_bytes: files[path]?.length ?? 0, sha256: `h:${files[path]}`, is_text: true })),
  });
  const answer = (status: number, body: unknown): Response =>
    new Response(typeof body === "string" ? body : JSON.stringify(body), { status });
  /** Called before each answer; the answer is of the moment before. */
  let before: (method: string, rest: string) => Promise<void> = () => Promise.resolve();
  const call = vi.fn(async (input: unknown, init?: RequestInit): Promise<Response> => {
    const found = await answerTo(input, init);
    await before(init?.method ?? "GET", String(input).split("/files")[1] ?? "");
    return found;
  });
  const answerTo = (input: unknown, init?: RequestInit): Promise<Response> => {
    const [, rest = ""] = String(input).split("/files");
    const headers = init?.headers as Record<string, string>;
    if (init?.method === "PATCH") {
      if (headers["If-Match"] !== `"${revision}"`) return Promise.resolve(answer(412, { code: "precondition_failed" }));
      const edit = JSON.parse(init.body as string) as { files?: Record<string, string>; remove?: string[] };
      Object.assign(files, edit.files);
      for (const path of edit.remove ?? []) Reflect.deleteProperty(files, path);
      revision += 1;
      const saved = { changed: Object.keys(edit.files ?? {}), removed: edit.remove ?? [], etag: `"${revision}"` };
      return Promise.resolve(answer(200, { ...saved, reload: { status: "none", elapsed_ms: 0, error: null } }));
    }
    if (rest) return Promise.resolve(answer(200, files[decodeURIComponent(rest.slice(1))] ?? ""));
    return Promise.resolve(answer(200, listing()));
  };
  const change = (path: string, text: string | null): void => {
    if (text === null) Reflect.deleteProperty(files, path);
    else files[path] = text;
    revision += 1;
  };
  const desk = new FileDesk(new PreviewClient({ fetch: call }), "gen_1");
  return { desk, files, change, hold: (hook: typeof before) => (before = hook) };
}

const STATE = null as never;

describe("files that are edited", () => {
  test("a change of another file is no conflict", async () => {
    const { desk, files, change } = madeUp({ "a.py": "one", "b.py": "two" });
    await desk.read("a.py");
    desk.write("a.py", "mine", STATE);
    change("b.py", "theirs");
    await desk.save("a.py");
    expect(files).toEqual({ "a.py": "mine", "b.py": "theirs" });
    expect(desk.snapshot().unsaved.size).toBe(0);
  });

  test("one's own save is no conflict, although the list has it before the answer comes", async () => {
    const { desk, hold } = madeUp({ "a.py": "one" });
    await desk.read("a.py");
    desk.write("a.py", "mine", STATE);
    const seen: number[] = [];
    hold(async (method) => {
      if (method !== "PATCH") return;
      // The event of the change has the list read meanwhile.
      await desk.refresh();
      seen.push(desk.snapshot().conflicts.size);
    });
    await desk.save("a.py");
    expect(seen).toEqual([0]);
    expect(desk.snapshot().unsaved.size).toBe(0);
  });

  test("a change of the same file is one; the text stays until the person decides", async () => {
    const { desk, files, change } = madeUp({ "a.py": "one" });
    await desk.read("a.py");
    desk.write("a.py", "mine", STATE);
    change("a.py", "theirs");
    await expect(desk.save("a.py")).rejects.toMatchObject({ status: 412 });
    expect(files["a.py"]).toBe("theirs");
    expect([...desk.snapshot().conflicts]).toEqual(["a.py"]);
    expect(desk.snapshot().open.get("a.py")?.text).toBe("mine");
    await desk.save("a.py", true);
    expect(files["a.py"]).toBe("mine");
    desk.write("a.py", "mine 2", STATE);
    change("a.py", "theirs 2");
    await desk.revert("a.py");
    expect(desk.snapshot().open.get("a.py")?.text).toBe("theirs 2");
    expect(desk.snapshot().conflicts.size).toBe(0);
  });

  test("a file that was removed elsewhere can be saved again, or given up", async () => {
    const { desk, files, change } = madeUp({ "a.py": "one", "b.py": "x" });
    await desk.read("a.py");
    desk.write("a.py", "mine", STATE);
    change("a.py", null);
    await expect(desk.save("a.py")).rejects.toMatchObject({ status: 412 });
    await desk.save("a.py", true);
    expect(files["a.py"]).toBe("mine");
  });

  test("a file without own changes follows the store", async () => {
    const { desk, change } = madeUp({ "a.py": "one" });
    await desk.read("a.py");
    change("a.py", "theirs");
    await desk.refresh();
    expect(desk.snapshot().open.get("a.py")).toMatchObject({ text: "theirs", round: 1 });
  });

  test("a list that was asked for before a save does not hide it", async () => {
    const { desk, files, hold } = madeUp({ "a.py": "one" });
    await desk.read("a.py");
    desk.write("a.py", "mine", STATE);
    let answer = (): void => undefined;
    const late = new Promise<void>((resolve) => (answer = resolve));
    hold((method) => (method === "GET" ? late : Promise.resolve()));
    const looking = desk.refresh();
    const saving = desk.save("a.py");
    // The save is made while the list is on its way.
    await vi.waitFor(() => expect(files["a.py"]).toBe("mine"));
    answer();
    await Promise.all([looking, saving]);
    desk.write("a.py", "mine 2", STATE);
    expect(desk.snapshot().conflicts.size).toBe(0);
    await desk.save("a.py");
  });

  test("what is typed while a file is read again stays, and is a conflict", async () => {
    const { desk, change, hold } = madeUp({ "a.py": "one" });
    await desk.read("a.py");
    change("a.py", "theirs");
    hold((_, rest) => {
      if (rest !== "") desk.write("a.py", "typed", STATE);
      return Promise.resolve();
    });
    await desk.refresh();
    expect(desk.snapshot().open.get("a.py")?.text).toBe("typed");
    expect([...desk.snapshot().conflicts]).toEqual(["a.py"]);
  });

  test("a new name that is taken meanwhile overwrites nothing", async () => {
    const { desk, files, change } = madeUp({ "a.py": "one" });
    await desk.refresh();
    change("b.py", "theirs");
    await expect(desk.rename("a.py", "b.py", "one")).rejects.toMatchObject({ status: 412 });
    await expect(desk.create("b.py", "")).rejects.toMatchObject({ status: 412 });
    expect(files).toEqual({ "a.py": "one", "b.py": "theirs" });
  });
});

test("text stays as it is, byte for byte", () => {
  const bytes = new TextEncoder().encode("\ufeffa\r\nb");
  expect(new TextEncoder().encode(textOf(bytes) ?? "")).toEqual(bytes);
  expect(textOf(new Uint8Array([0xe4]))).toBeNull();
  expect(contentOf(new Uint8Array([0xff, 0]))).toEqual({ base64: "/wA=" });
  expect([separatorOf("a\r\nb\r\n"), separatorOf("a\r\nb\n"), separatorOf("")]).toEqual(["\r\n", "\n", "\n"]);
});

test("paths that cannot be are refused with a sentence", () => {
  for (const path of ["", "/a", "a//b", "../a", "a/.", "a\\b", "a.py", "app"])
    expect(badPath(inEnglish, path, ["a.py", "app/main.py"]), path).not.toBeNull();
  expect(badPath(inEnglish, "app/new.py", ["a.py", "app/main.py"])).toBeNull();
});

test("folders come before files, and only open ones are listed", () => {
  const paths = ["b.py", "app/main.py", "app/x/y.py", "a.py"];
  expect(rowsOf(paths, new Set()).map((row) => row.path)).toEqual(["app", "a.py", "b.py"]);
  expect(rowsOf(paths, new Set(["app"])).map((row) => row.path)).toEqual([
    "app",
    "app/x",
    "app/main.py",
    "a.py",
    "b.py",
  ]);
  expect(foundRows(paths, "APP main").map((row) => row.path)).toEqual(["app/main.py"]);
});

test("the outcome of a save is one sentence or two", () => {
  const saved = (status: "reloaded" | "failed" | "none", detail = "") =>
    savedWords(inEnglish, {
      changed: ["a"],
      removed: [],
      reload: { preview_id: null, status, elapsed_ms: 140, error: { code: "x", detail, details: {} } },
    }).words;
  expect(saved("reloaded")).toBe("Saved, reloaded in 0.14 s.");
  expect(saved("failed", "it broke")).toBe(
    "Saved, but the new version does not start: it broke. The previous version is still running.",
  );
  expect(saved("none")).toBe("Saved. No preview is running.");
});
