import { describe, expect, test } from "vitest";

import type { PreviewInstance, PreviewStatus } from "../api/types";
import { endSentence } from "../terminal/ConnectionLine";
import { inEnglish } from "../texts/translate";
import { whyFailed } from "./ending";
import { heldIn } from "./held";

const STATUS = {
  isolation: { runtime: "sandbox", network: "none", holds: ["files: its own", "limits: by control groups"] },
  limits: {
    memory_mb: 512,
    cpu_cores: 1,
    processes: 256,
    open_files: 1024,
    disk_mb: 1024,
    file_bytes: 1,
    temp_bytes: 1,
    output_bytes_per_s: 64 * 1024 * 1024,
  },
  reached: [],
} as unknown as PreviewStatus;

describe("what holds a preview in", () => {
  test("is a few words, with more for whoever wants to know", () => {
    const held = heldIn(inEnglish, STATUS);
    expect(held?.short).toBe("sandbox · no network · 512 MB · 1 core");
    expect(held?.details).toContain("Processes: 256");
    expect(held?.details).toContain("Output: 64 MB/s");
    expect(held?.details).toContain("Files: its own");
    expect(held?.isReached).toBe(false);
  });

  test("names what nothing holds it to", () => {
    const limits = { ...STATUS.limits, cpu_cores: null, processes: null } as NonNullable<PreviewStatus["limits"]>;
    const held = heldIn(inEnglish, { ...STATUS, limits, isolation: { runtime: "plain", network: "host", holds: [] } });
    expect(held?.short).toBe("not sandboxed · network · 512 MB");
    expect(held?.details).toContain("Processor: not limited");
  });

  test("says which limit was reached", () => {
    const held = heldIn(inEnglish, { ...STATUS, reached: [{ limit: "cpu", message: "limited to 1 core: it waits" }] });
    expect(held?.short).toBe("sandbox · no network · 512 MB · 1 core · limit reached");
    expect(held?.details.split("\n")[0]).toBe("Limited to 1 core: it waits");
  });

  test("is nothing where the service does not say", () => {
    expect(heldIn(inEnglish, { ...STATUS, isolation: null })).toBeNull();
  });
});

test("a preview that a limit ended tells the limit, and no signal", () => {
  const ended = { reason: "stopped: used more than 512 MB of memory", exit_code: null, exit_signal: 9 };
  expect(whyFailed(inEnglish, ended as PreviewInstance)).toBe("Stopped: used more than 512 MB of memory.");
  expect(endSentence(inEnglish, { ...ended, status: "failed" })).toBe(
    "The preview failed: used more than 512 MB of memory.",
  );
});

test("a reason that is a question keeps its mark, and gets no other", () => {
  const asked = { reason: "failed: is main.py there?", exit_code: null, exit_signal: null };
  expect(whyFailed(inEnglish, asked as PreviewInstance)).toBe("Is main.py there?");
  expect(endSentence(inEnglish, { ...asked, status: "failed" })).toBe("The preview failed: is main.py there?");
});
