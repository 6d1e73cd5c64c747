import { type ReactNode, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { Button, Notice } from "../lib/ui/controls";
import { visible } from "../lib/ui/visible";
import type { Projects } from "./useProjects";

/** Says that a project was removed, with the way back. */
export function RemovedNotice({
  projects,
  onSelect,
}: {
  projects: Projects;
  onSelect: (id: string) => void;
}): ReactNode {
  const { removed } = projects;
  const [wrong, setWrong] = useState<string | null>(null);
  if (removed === null) return null;
  const undo = (): void => {
    setWrong(null);
    projects
      .undoRemoval()
      .then(() => onSelect(removed.id))
      .catch((error: unknown) => setWrong(asProblem(error).message));
  };
  return (
    <Notice
      {...(wrong === null ? { role: "status" as const } : { tone: "bad" as const, role: "alert" as const })}
      actions={
        <>
          <Button small icon="restart" onClick={undo}>
            Undo
          </Button>
          <Button small kind="quiet" onClick={projects.forgetRemoval}>
            Dismiss
          </Button>
        </>
      }
    >
      {wrong ??
        `“${visible(removed.name || removed.id)}” was deleted. You can restore it until ${until(removed.expires_at)}.`}
    </Notice>
  );
}

function until(moment: string): string {
  return new Date(moment).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
}
