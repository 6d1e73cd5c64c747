import { beforeEach, describe, expect, test } from "vitest";

import { line, toldStep } from "../testing";
import { keepTail, keptTail } from "./keep";
import { lookOfAddress, lookToAddress, WHOLE_LOG } from "./look";
import { compileQuery, findLines } from "./search";
import { launchSteps } from "./steps";
import { isNote, LogStore } from "./store";
import { asJson, asText, coloured, plain } from "./text";
import { Timeline } from "./timeline";
import { EVERYTHING, isUnfiltered, LogView } from "./view";

const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => line(from + at));
const seqs = (store: { first: number; end: number; slice: LogStore["slice"] }) =>
  store.slice(store.first, store.end).map((one) => one.seq);

describe("the store", () => {
  test("takes each line once", () => {
    const store = new LogStore();
    store.append(lines(1, 3));
    store.append(lines(2, 5));
    expect(seqs(store)).toEqual([1, 2, 3, 4, 5]);
    expect(store.lastSeq).toBe(5);
  });

  test("keeps positions when older lines come before them", () => {
    const store = new LogStore();
    store.append(lines(11, 15));
    const position = store.first + 2;
    expect(store.at(position)?.seq).toBe(13);
    store.prepend(lines(6, 10), 1);
    expect(store.at(position)?.seq).toBe(13);
    expect(store.firstSeq).toBe(6);
    expect(store.hasOlder).toBe(true);
    store.prepend(lines(1, 5), 1);
    expect(store.hasOlder).toBe(false);
  });

  test("is bounded in lines, and says that older ones can be had", () => {
    const store = new LogStore({ maxLines: 100 });
    for (let from = 1; from <= 1_000; from += 50) store.append(lines(from, from + 49));
    expect(store.length).toBeLessThanOrEqual(110);
    expect(store.lastSeq).toBe(1_000);
    expect(store.hasOlder).toBe(true);
    expect(store.at(store.end - 1)?.seq).toBe(1_000);
    expect(store.at(store.first)?.seq).toBe(store.firstSeq);
  });

  test("is not cut off under somebody who reads what is old, up to a bound", () => {
    const store = new LogStore({ maxLines: 100 });
    store.append(lines(1, 100));
    store.hold(true);
    store.append(lines(101, 180));
    expect(store.at(store.first)?.seq).toBe(1);
    store.append(lines(181, 1_000));
    expect(store.length).toBeLessThanOrEqual(220);
    store.hold(false);
    store.append(lines(1_001, 1_001));
    expect(store.length).toBeLessThanOrEqual(110);
  });

  test("does not fetch without end, and says where it stops", () => {
    const store = new LogStore({ maxLines: 100 });
    store.append(lines(901, 1_000));
    for (let before = 901; store.hasOlder; before -= 50) store.prepend(lines(before - 50, before - 1), 1);
    expect(store.length).toBeLessThanOrEqual(260);
    expect(isNote(store.at(store.first) as never)).toBe(true);
  });

  test("is bounded in text", () => {
    const store = new LogStore({ maxChars: 1_000 });
    store.append(lines(1, 50).map((one) => ({ ...one, message: "x".repeat(100) })));
    expect(store.length).toBeLessThanOrEqual(11);
  });

  test("shows a gap where it is", () => {
    const store = new LogStore();
    store.append(lines(1, 2));
    store.appendGap({ first: 3, last: 9, reason: "retention" });
    store.append(lines(10, 10));
    const entries = store.slice(store.first, store.end);
    expect(entries.map(isNote)).toEqual([false, false, true, false]);
    expect(asText(entries[2] as never)).toContain("lines 3 to 9 are missing: retention");
  });

  test("what was cleared does not come back by scrolling", () => {
    const store = new LogStore();
    store.append(lines(5, 9));
    store.clear();
    store.append(lines(10, 11));
    expect(store.hasOlder).toBe(false);
    store.prepend(lines(5, 9), 1);
    expect(seqs(store)).toEqual([10, 11]);
  });
});

describe("a filtered view", () => {
  test("follows what comes, what goes and what is added before", () => {
    const store = new LogStore({ maxLines: 20 });
    const view = new LogView(store, { ...EVERYTHING, levels: ["ERROR"] });
    const odd = (from: number, to: number) =>
      lines(from, to).map((one) => (one.seq % 2 ? { ...one, level: "ERROR" as const } : one));
    store.append(odd(11, 20));
    view.sync();
    expect(seqs(view)).toEqual([11, 13, 15, 17, 19]);
    const position = view.first + 1;
    store.prepend(odd(5, 10), 1);
    view.sync();
    expect(view.at(position)?.seq).toBe(13);
    expect(seqs(view)).toEqual([5, 7, 9, 11, 13, 15, 17, 19]);
    store.append(odd(21, 60));
    view.sync();
    expect(seqs(view)).toEqual(Array.from({ length: 10 }, (_, at) => 41 + 2 * at));
  });
});

describe("the search", () => {
  const find = async (text: string, regex = false, matchCase = false) => {
    const store = new LogStore();
    store.append([line(1, "\u001b[31mRed\u001b[0m light"), line(2, "a+b"), line(3, "red wine")]);
    const pattern = compileQuery({ text, regex, matchCase });
    if (!(pattern instanceof RegExp)) return pattern;
    const view = new LogView(store);
    const found = await findLines(view, pattern, { from: view.first, to: view.end }, new AbortController().signal);
    return found.map((at) => view.at(at)?.seq);
  };

  test("looks through colours, for plain text or patterns, with or without case", async () => {
    expect(await find("red l")).toEqual([1]);
    expect(await find("red")).toEqual([1, 3]);
    expect(await find("Red", false, true)).toEqual([1]);
    expect(await find("a+b")).toEqual([2]);
    expect(await find("^red", true)).toEqual([1, 3]);
  });

  test("says what is wrong with a pattern", async () => {
    expect(await find("(", true)).toHaveProperty("error");
    expect(await find("")).toBeNull();
  });
});

describe("text", () => {
  test("keeps colours, and shows what else could move the cursor or call the terminal", () => {
    const hostile = "a\u001b[2J\u001b[31mb\u001b[0m\u001b]0;title\u0007c\u001b[?1049hd\re\u0008\u001bc\u009bf\tg";
    expect(coloured(hostile)).toBe(
      "a\\u001b[2J\u001b[31mb\u001b[0m\\u001b]0;title\\u0007c\\u001b[?1049hd\\u000de\\u0008\\u001bc\\u009bf\tg",
    );
    expect(plain("a\u001b[31;1mb\u001b[0m")).toBe("ab");
  });

  test("is saved line by line", () => {
    expect(asText(line(1, "\u001b[1mhello\u001b[0m"))).toBe("2026-11-20T12:00:00.000Z INFO    hello");
    expect(JSON.parse(asJson(line(3)))).toEqual(line(3));
  });
});

describe("the tail of a tab", () => {
  beforeEach(() => sessionStorage.clear());

  test("is kept per generation, bounded, and without holes", () => {
    const store = new LogStore();
    store.append(lines(1, 10));
    store.appendGap({ first: 11, last: 20, reason: "retention" });
    store.append(lines(21, 3_000));
    keepTail("gen_1", "p1", store);
    const kept = keptTail("gen_1");
    expect(kept?.previewId).toBe("p1");
    expect(kept?.lines.at(-1)?.seq).toBe(3_000);
    expect(kept?.lines).toHaveLength(1_000);
    expect(keptTail("gen_2")).toBeNull();
  });

  test("is kept of a few generations only", () => {
    const store = new LogStore();
    store.append(lines(1, 3));
    for (let at = 0; at < 20; at += 1) keepTail(`gen_${at}`, "p", store);
    expect(sessionStorage.length).toBeLessThanOrEqual(4);
    expect(keptTail("gen_19")).not.toBeNull();
  });

  test("that cannot be read is none", () => {
    sessionStorage.setItem("preview:log:gen_1", "{broken");
    expect(keptTail("gen_1")).toBeNull();
  });
});

describe("the steps of a launch", () => {
  test("wait until the service tells of them", () => {
    expect(launchSteps(undefined).map((one) => `${one.label} ${one.state}`)).toEqual([
      "Files waiting",
      "Dependencies waiting",
      "Start waiting",
      "Health check waiting",
    ]);
    expect(launchSteps([])).toBe(launchSteps(undefined));
  });

  test("are what the service tells, with their times", () => {
    const steps = launchSteps([
      toldStep("files", { elapsed_ms: 20 }),
      toldStep("environment", { started_at: "2026-11-20T12:00:00.030Z", detail: "cached", reused: true }),
      toldStep("migrations", { state: "running", started_at: "2026-11-20T12:00:00.120Z", elapsed_ms: null }),
      toldStep("process", { state: "waiting", started_at: null, elapsed_ms: null }),
    ]);
    expect(steps.map((one) => [one.label, one.state, one.atMs])).toEqual([
      ["Files", "done", 20],
      ["Dependencies", "done", 110],
      ["Migrations", "running", null],
      ["Start", "waiting", null],
    ]);
    expect(steps[1]).toMatchObject({ detail: "cached", reused: true, elapsedMs: 80 });
  });
});

test("lines of standard error are told apart, alone on demand, and kept in the address and in copies", () => {
  const store = new LogStore();
  store.append([line(1, "out"), line(2, "err", { stream: "stderr" }), line(3, "said", { source: "system" })]);
  const onlyStderr = { ...EVERYTHING, onlyStderr: true };
  const view = new LogView(store, onlyStderr);
  expect(view.slice(view.first, view.end).map((one) => (isNote(one) ? null : one.seq))).toEqual([2]);
  expect([isUnfiltered(onlyStderr), isUnfiltered(EVERYTHING)]).toEqual([false, true]);
  const words = lookToAddress({ ...WHOLE_LOG, filter: onlyStderr });
  expect(words["stream"]).toBe("stderr");
  expect(lookOfAddress(new URLSearchParams({ stream: "stderr" })).filter).toEqual(onlyStderr);
  expect(lookOfAddress(new URLSearchParams({ stream: "other" })).filter).toEqual(EVERYTHING);
  const columns = ["user.id", "path"];
  expect(lookToAddress({ ...WHOLE_LOG, columns })["column"]).toEqual(columns);
  const hostile = [
    "user.id",
    "user.id",
    "path",
    "",
    "a..b",
    "<img>",
    "x".repeat(300),
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
  ];
  const query = new URLSearchParams(hostile.map((one) => ["column", one]));
  expect(lookOfAddress(query).columns).toEqual(["user.id", "path", "a", "b", "c", "d"]);
  expect(new Timeline(store).counts().streams).toEqual({ stderr: 1 });
  expect(JSON.parse(asJson(line(2, "err", { stream: "stderr" })))).toMatchObject({ stream: "stderr" });
  expect(asJson(line(1))).not.toContain("stream");
});
