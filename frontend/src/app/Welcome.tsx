import { type ReactNode, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { addExample, type Example, listExamples } from "../lib/api/projects";
import { Button, Notice } from "../lib/ui/controls";
import { useLoad } from "../lib/ui/useLoad";
import styles from "./projects.module.css";
import { client } from "./ownToken";
import { DropZone } from "./Sidebar";
import type { Projects } from "./useProjects";
import type { Upload } from "./useUpload";

interface WelcomeProps {
  projects: Projects;
  drop: Upload;
  onGithub: () => void;
  onSelect: (id: string) => void;
}

/** Shown to people without a project: how to begin, with their own or with an example. */
export function Welcome({ projects, drop, onGithub, onSelect }: WelcomeProps): ReactNode {
  if (!projects.takesUploads)
    return (
      <main id="main" tabIndex={-1} className={styles.welcome}>
        <h2>Run a backend and watch its logs</h2>
        <p>This service is part of another application, which supplies its projects. None has been launched yet.</p>
      </main>
    );
  return (
    <main id="main" tabIndex={-1} className={styles.welcome}>
      <h2>Run a backend and watch its logs</h2>
      <ol>
        <li>Drop a project’s folder or zip here, or import it from GitHub.</li>
        <li>Launch it: dependencies are installed, and it gets a URL.</li>
        <li>Watch its log, and send requests to its endpoints.</li>
      </ol>
      <DropZone onPick={drop.take} onGithub={onGithub} isUploading={drop.isUploading} />
      <Examples projects={projects} onSelect={onSelect} />
      <p className={styles.frameworks}>
        Works with FastAPI, Starlette, Flask, Django, Quart and other Python frameworks, and with Express, NestJS,
        Fastify, Koa, Next.js and other Node.js projects.
      </p>
    </main>
  );
}

function Examples({ projects, onSelect }: Pick<WelcomeProps, "projects" | "onSelect">): ReactNode {
  const { value } = useLoad("examples", (signal) => listExamples(client, signal));
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const add = async (example: Example): Promise<void> => {
    setBusy(true);
    setWrong(null);
    try {
      const made = await addExample(client, example.name);
      await projects.refresh();
      onSelect(made.id);
    } catch (error) {
      setWrong(asProblem(error).message);
      setBusy(false);
    }
  };
  if (value === null || value.length === 0) return null;
  return (
    <section className={styles.examples} aria-label="Examples">
      <h3>Or try an example</h3>
      <ul>
        {value.map((one) => (
          <li key={one.name}>
            <Button disabled={busy} onClick={() => void add(one)}>
              {one.title} <small>{one.framework}</small>
            </Button>
            <span>
              {one.summary} First request: <code>{one.first_request}</code>
            </span>
          </li>
        ))}
      </ul>
      {wrong !== null && (
        <Notice tone="bad" role="alert">
          {wrong}
        </Notice>
      )}
    </section>
  );
}
