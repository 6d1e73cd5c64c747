import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { SignIn } from "./SignIn";

afterEach(cleanup);

test("a used sign-in link says what gives a new one", () => {
  render(<SignIn onToken={() => Promise.resolve()} why="login_code" />);
  screen.getByText(/^This sign-in link has been used or has expired\. Paste a token, or restart “preview serve”/);
  expect(screen.queryByText(/Request a new one/)).toBeNull();
});
