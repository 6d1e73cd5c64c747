import { expect, test } from "vitest";

import { inEnglish } from "../texts/translate";
import { countsOf, dayAndTime } from "./words";

test("a launch is named by its day as people say it", () => {
  const now = new Date(2026, 2, 1, 9, 30).getTime();
  const at = (...given: [number, number, number, number, number]): string => new Date(...given).toISOString();
  expect(dayAndTime(inEnglish, at(2026, 2, 1, 0, 5), now)).toBe("today 00:05:00");
  expect(dayAndTime(inEnglish, at(2026, 1, 28, 22, 41), now)).toBe("yesterday 22:41:00");
  expect(dayAndTime(inEnglish, at(2026, 1, 27, 22, 41), now)).toMatch(/27.*22:41|22:41/);
});

test("the files of a version are counted in words", () => {
  expect(countsOf(inEnglish, { added: 2, changed: 1, removed: 0 })).toBe("2 added, 1 changed");
  expect(countsOf(inEnglish, { added: 0, changed: 0, removed: 0 })).toBe("no file changed");
});
