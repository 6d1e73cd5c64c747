import { type ReactNode, useRef, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { duplicateProject, idsOfGroup, keepsRemoved, moveProject, renameProject } from "../lib/api/projects";
import { Menu, type MenuItem } from "../lib/terminal/Menu";
import { Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import { Ask } from "../lib/ui/Dialog";
import { visible } from "../lib/ui/visible";
import styles from "./projects.module.css";
import { pickInput, type Picked } from "./folder";
import { client } from "./ownToken";
import { isOn, type Project, type Projects } from "./useProjects";

interface ProjectMenuProps {
  project: Project;
  projects: Projects;
  onSelect: (id: string) => void;
  onReplace: (picked: Promise<Picked>) => void;
  onUpdate: () => void;
  isUploading: boolean;
  /** More of the page, below what concerns the project. */
  more?: readonly MenuItem[];
  label?: string;
}

/** All that can be done with a project as a whole. */
export function ProjectMenu(props: ProjectMenuProps): ReactNode {
  const { project, projects, onSelect, onReplace, onUpdate, isUploading } = props;
  const [asked, setAsked] = useState<"rename" | "group" | "whole-group" | "remove" | null>(null);
  const [group, setGroup] = useState("");
  const groups = [...new Set((projects.list ?? []).map((one) => one.group ?? ""))].filter(Boolean).sort();
  const [members, setMembers] = useState<readonly string[]>([]);
  const [isKept, setKept] = useState(true);
  const [name, setName] = useState(project.name);
  const [wrong, setWrong] = useState<string | null>(null);
  const folder = useRef<HTMLInputElement>(null);
  const isRunning = isOn(project.preview);
  const attempt = (what: Promise<unknown>): void => {
    setWrong(null);
    what.then(projects.refresh).catch((error: unknown) => setWrong(asProblem(error).message));
  };
  const duplicate = async (): Promise<void> => {
    const made = await duplicateProject(
      client,
      project.id,
      `${project.name} copy`,
      project.preview?.status === "running",
    );
    if (project.group) await moveProject(client, made.id, project.group);
    await projects.refresh();
    onSelect(made.id);
  };
  const remove = async (): Promise<void> => {
    if (isRunning) await client.stop(project.id);
    await projects.remove(project.id);
  };
  const askToRemove = async (): Promise<void> => {
    setKept(await keepsRemoved(client));
    setAsked("remove");
  };
  const askToRenameGroup = async (): Promise<void> => {
    setMembers(await idsOfGroup(client, (one) => visible(one) === project.group));
    setGroup(project.group ?? "");
    setAsked("whole-group");
  };
  const items: MenuItem[] = [
    {
      label: "Rename…",
      act: () => {
        setName(project.name);
        setAsked("rename");
      },
    },
    {
      label: "Move to a group…",
      act: () => {
        setGroup(project.group ?? "");
        setAsked("group");
      },
    },
    ...(project.group
      ? [
          {
            label: "Rename its group…",
            act: () => attempt(askToRenameGroup()),
          },
        ]
      : []),
    { label: "Duplicate", act: () => attempt(duplicate()) },
    ...(isRunning && !isUploading ? [{ label: "Replace files…", act: () => folder.current?.click() }] : []),
    ...(project.origin && !isUploading ? [{ label: "Update from GitHub…", act: onUpdate }] : []),
    { label: "Delete…", act: () => attempt(askToRemove()) },
  ];
  return (
    <>
      <Menu icon="more" label={props.label ?? `More for ${project.name}`} items={[...items, ...(props.more ?? [])]} />
      <input
        ref={folder}
        type="file"
        hidden
        aria-label="The changed folder"
        {...{ webkitdirectory: "" }}
        onChange={({ target }) => {
          if (target.files && target.files.length > 0) onReplace(pickInput(target.files));
          target.value = "";
        }}
      />
      {wrong !== null && (
        <span className={styles.menuProblem}>
          <Notice tone="bad" role="alert">
            {wrong}
          </Notice>
        </span>
      )}
      {asked === "rename" && (
        <Ask
          title="Rename the project"
          action="Rename"
          kind="primary"
          onYes={() => name.trim() !== "" && attempt(renameProject(client, project.id, name.trim()))}
          onClose={() => setAsked(null)}
        >
          <label className={styles.renameField}>
            Name
            <input
              className={controls.field}
              value={name}
              required
              maxLength={256}
              autoFocus
              onFocus={(event) => event.target.select()}
              onChange={(event) => setName(event.target.value)}
            />
          </label>
        </Ask>
      )}
      {asked === "whole-group" && (
        <Ask
          title={`Rename the group “${project.group ?? ""}”`}
          action="Rename"
          kind="primary"
          onYes={() => group.trim() !== "" && attempt(moveAll(members, group.trim()))}
          onClose={() => setAsked(null)}
        >
          <label className={styles.renameField}>
            Group
            <input
              className={controls.field}
              value={group}
              maxLength={80}
              autoFocus
              onFocus={(event) => event.target.select()}
              onChange={(event) => setGroup(event.target.value)}
            />
          </label>
          <p>{members.length === 1 ? "It has one project." : `It has ${members.length} projects.`}</p>
        </Ask>
      )}
      {asked === "group" && (
        <Ask
          title={`Move “${project.name}” to a group`}
          action="Move"
          kind="primary"
          onYes={() => attempt(moveProject(client, project.id, group.trim()))}
          onClose={() => setAsked(null)}
        >
          <label className={styles.renameField}>
            Group
            <input
              className={controls.field}
              value={group}
              maxLength={80}
              list="project-groups"
              placeholder="No group"
              autoFocus
              onFocus={(event) => event.target.select()}
              onChange={(event) => setGroup(event.target.value)}
            />
          </label>
          <datalist id="project-groups">
            {groups.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
          <p>A new name makes a new group. Leave it empty to take the project out of its group.</p>
        </Ask>
      )}
      {asked === "remove" && (
        <Ask
          title={`Delete project “${project.name}”?`}
          action={isKept ? "Delete" : "Delete for good"}
          onYes={() => attempt(remove())}
          onClose={() => setAsked(null)}
        >
          {isRunning && <p>Its preview is running and will be stopped.</p>}
          <p>
            All versions of its files and the logs of all its launches will be removed.{" "}
            {isKept ? "You can undo this." : "You cannot undo this."}
          </p>
        </Ask>
      )}
    </>
  );
}

/** One after the other: the first that is refused ends it. */
async function moveAll(members: readonly string[], group: string): Promise<void> {
  for (const id of members) await moveProject(client, id, group);
}
