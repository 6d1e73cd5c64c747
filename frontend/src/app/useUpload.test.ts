import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { Problem } from "../lib/api/problem";
import { client } from "./ownToken";
import type { Project, Projects } from "./useProjects";
import { useUpload } from "./useUpload";

afterEach(cleanup);

test("what is wrong with new files is said once, until they are launched", async () => {
  vi.spyOn(client, "checkPlan").mockRejectedValue(new Problem("Cannot launch: no main.py", { status: 400 }));
  const projects = { takesUploads: true, upload: () => Promise.resolve("g") } as unknown as Projects;
  const project = { id: "g" } as Project;
  const { result, rerender } = renderHook((shown: Project) => useUpload(projects, shown, vi.fn()), {
    initialProps: project,
  });
  act(() => result.current.take(Promise.resolve({} as never)));
  await waitFor(() => expect(result.current.problem).toBe("Uploaded, but the project cannot start: no main.py."));
  // It is of this project only.
  rerender({ id: "other" } as Project);
  expect(result.current.problem).toBeNull();
  rerender(project);
  expect(result.current.problem).not.toBeNull();
  // A launch has its own answer.
  act(() => result.current.forget());
  expect(result.current.problem).toBeNull();
});
