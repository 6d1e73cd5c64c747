import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { PreviewProvider } from "../lib";
import { clientOf, json } from "../lib/testing";
import { client } from "./ownToken";
import { Palette } from "./Palette";
import type { Projects } from "./useProjects";

afterEach(cleanup);

test("an action that the service refuses says why, and the palette stays", async () => {
  const service = clientOf(({ method }) =>
    method === "POST" ? json({ detail: "You have 2 previews." }, 409) : json({ endpoints: [] }),
  );
  vi.spyOn(client, "launch").mockImplementation((id) => service.launch(id));
  vi.spyOn(client, "endpoints").mockImplementation((id) => service.endpoints(id));
  const close = vi.fn();
  const projects = { list: [], refresh: () => Promise.resolve() } as unknown as Projects;
  const project = { id: "g1", name: "shop", createdAt: null, preview: null };
  render(
    <PreviewProvider client={service}>
      <Palette project={project} projects={projects} onSelect={() => undefined} actions={[]} onClose={close} />
    </PreviewProvider>,
  );
  fireEvent.click(screen.getByText("Launch the preview"));
  expect((await screen.findByRole("alert")).textContent).toContain("You have 2 previews.");
  expect(close).not.toHaveBeenCalled();

  vi.spyOn(client, "launch").mockResolvedValue(undefined as never);
  fireEvent.click(screen.getByText("Launch the preview"));
  await waitFor(() => expect(close).toHaveBeenCalled());
});
