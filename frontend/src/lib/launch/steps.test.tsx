import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";

import { launchSteps } from "../logs/steps";
import { toldStep } from "../testing";
import { Steps } from "./Steps";

test("a failed launch without known steps has none marked as the one that failed", () => {
  const { container, rerender } = render(<Steps steps={launchSteps(undefined)} phase="broken" />);
  expect(container.querySelectorAll("[data-state=failed]")).toHaveLength(0);
  expect(screen.queryByText("not reached")).toBeNull();
  const told = [toldStep("files"), toldStep("environment", { state: "running" })];
  rerender(<Steps steps={launchSteps(told)} phase="broken" />);
  expect(container.querySelectorAll("[data-state=failed]")).toHaveLength(1);
});
