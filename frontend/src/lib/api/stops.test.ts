import { expect, test } from "vitest";

import { Stops } from "./stops";

test("a stop waits for questions that are on their way, whatever comes of them", async () => {
  const stops = new Stops();
  const order: string[] = [];
  const answers: ((isGood: boolean) => void)[] = [];
  const ask = (): Promise<unknown> =>
    stops.note(
      "g1",
      new Promise((resolve, reject) => answers.push((isGood) => (isGood ? resolve(1) : reject(new Error("x"))))),
    );
  const asked = [ask(), ask().catch(() => order.push("failed"))];
  const stopped = stops.run("g1", async () => {
    order.push(`stop ${stops.isStopping("g1")}`);
    await Promise.resolve();
  });
  expect([stops.isStopping("g1"), stops.isStopping("g2"), order]).toEqual([true, false, []]);
  answers[0]?.(true);
  answers[1]?.(false);
  await Promise.all([...asked, stopped]);
  expect(order).toEqual(["failed", "stop true"]);
  expect(stops.isStopping("g1")).toBe(false);
});

test("a stop that fails is over too", async () => {
  const stops = new Stops();
  await expect(stops.run("g1", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(stops.isStopping("g1")).toBe(false);
});
