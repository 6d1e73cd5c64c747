import { expect, test } from "vitest";

import { projectsOf } from "../../app/useProjects";
import { Problem } from "../api/problem";
import { endSentence } from "../terminal/ConnectionLine";
import { inEnglish } from "../texts/translate";
import { explain } from "./explain";
import { whyStopped } from "./ending";

// U+202E shows what is behind it in another order.
const FORGED = "a\u202egpj.exe";
const SHOWN = "a\\u202egpj.exe";

test("a reason, a problem and a project's name show characters that could act unseen as escapes", () => {
  expect(whyStopped(inEnglish, FORGED)).toContain(SHOWN.slice(1));
  expect(endSentence(inEnglish, { status: "failed", reason: FORGED, exit_code: 1, exit_signal: null })).toContain(
    SHOWN,
  );
  expect(new Problem(FORGED).message).toBe(SHOWN);
  const missing = new Problem("Missing.", { code: "invalid_generation", details: { missing_files: [FORGED] } });
  expect(explain(inEnglish, missing, "one").facts).toEqual([`Missing: ${SHOWN}`]);
  expect(projectsOf([{ id: "one", name: FORGED, created_at: "" }], [])[0]?.name).toBe(SHOWN);
});

test("why a preview was stopped goes by the cause, whatever the sentence says", () => {
  expect(whyStopped(inEnglish, "stopped: in other words", "inactive")).toContain("Nobody has used it");
  expect(whyStopped(inEnglish, "stopped: time limit reached")).toBe("Stopped: time limit reached.");
  expect(whyStopped(inEnglish, "stopped on request", "user")).toBe("Stopped on request.");
});

test("the name of a file or a module keeps its letters at the beginning of a sentence", () => {
  expect(whyStopped(inEnglish, "app/main.py line 3 imports 'x'")).toBe("app/main.py line 3 imports 'x'.");
  expect(whyStopped(inEnglish, "main.py ended")).toBe("main.py ended.");
  expect(whyStopped(inEnglish, "the application ended")).toBe("The application ended.");
});
