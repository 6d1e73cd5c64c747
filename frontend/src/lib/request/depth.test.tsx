import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, test, vi } from "vitest";

import { inEnglish, english } from "../texts/translate";
import { Contained } from "../ui/Contained";
import { Answer } from "./Answer";
import { contentOf } from "./answer";
import { depthOf, MAX_DEPTH } from "./depth";
import { draftOf, EMPTY, example, obstacle, requestOf } from "./draft";

afterEach(cleanup);

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const answerOf = (body: string) => ({
  status_code: 200,
  headers: { "content-type": "application/json" },
  body,
  elapsed_ms: 1,
});

describe("JSON that is nested deep", () => {
  test("is measured without the brackets in its texts", () => {
    expect(depthOf('{"a": [1, "[[[\\"[["], "b": {"c": []}}')).toBe(3);
    expect(depthOf("7")).toBe(0);
    expect(depthOf(nested(20_000))).toBe(20_000);
  });

  test("is shown as it came, with the reason", () => {
    const body = nested(20_000);
    render(<Answer name="GET /deep" answer={answerOf(body)} />);
    expect(screen.getByText(/nested 20,000 levels deep/)).toBeTruthy();
    expect(screen.getByText(body)).toBeTruthy();
  });

  test("is drawn up to the bound", () => {
    expect(contentOf(inEnglish, answerOf(nested(MAX_DEPTH))).kind).toBe("json");
    expect(contentOf(inEnglish, answerOf(nested(MAX_DEPTH + 1))).kind).toBe("text");
    render(<Answer name="GET /deep" answer={answerOf(nested(MAX_DEPTH))} />);
    expect(screen.getByRole("region", { name: "Response as JSON" })).toBeTruthy();
  });

  test("in an endpoint's schema is cut in the example, and sent as it is in a body", () => {
    const body = JSON.parse(nested(20_000)) as unknown;
    expect(depthOf(JSON.stringify(example(body)))).toBe(MAX_DEPTH);
    const endpoint = {
      method: "POST",
      path: "/",
      summary: "",
      description: "",
      tags: [],
      query: {},
      body,
      response: null,
      source: "static" as const,
    };
    expect(obstacle(inEnglish, draftOf(endpoint))).toBeNull();
    const deep = { ...EMPTY, method: "POST", body: nested(20_000) };
    expect(obstacle(inEnglish, deep)).toBeNull();
    expect(requestOf(deep).body).toBe(deep.body);
  });
});

test("an error in one panel leaves the others", () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const Broken = (): never => {
    throw new RangeError("too deep");
  };
  render(
    <>
      <Contained name={english("The log")}>
        <Broken />
      </Contained>
      <p>the others</p>
    </>,
  );
  expect(screen.getByRole("alert").textContent).toContain("The log cannot be shown: too deep");
  expect(screen.getByText("the others")).toBeTruthy();
});

test("a part that the service no longer has asks for a reload", () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const Missing = (): never => {
    throw new TypeError("Failed to fetch dynamically imported module: http://x/assets/HistoryPanel-1.js");
  };
  render(
    <Contained name={english("History")}>
      <Missing />
    </Contained>,
  );
  expect(screen.getByRole("alert").textContent).toContain("History could not be loaded.");
  expect(screen.getByRole("button", { name: "Reload the page" })).toBeTruthy();
});

test("what acts unseen in an answer is shown as an escape", () => {
  render(<Answer name="GET /" answer={{ ...answerOf("a\u202eb\u009b"), headers: { "x-note": "\u2066x" } }} />);
  expect(screen.getByText("a\\u202eb\\u009b")).toBeTruthy();
});
