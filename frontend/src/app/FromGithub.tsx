import { type ReactNode, useState } from "react";

import { importSource } from "../lib/api/projects";
import controls from "../lib/ui/controls.module.css";
import { Ask } from "../lib/ui/Dialog";
import { useLoad } from "../lib/ui/useLoad";
import { client } from "./ownToken";
import styles from "./projects.module.css";

interface FromGithubProps {
  onImport: (address: string) => void;
  onClose: () => void;
}

/** Asks for the address of a public repository, which becomes a project. */
export function FromGithub({ onImport, onClose }: FromGithubProps): ReactNode {
  const { value: site } = useLoad("imports", (signal) => importSource(client, signal));
  const [address, setAddress] = useState("");
  const isOff = site === "";
  return (
    <Ask
      title="Import from GitHub"
      action="Import"
      kind="primary"
      onYes={() => address.trim() !== "" && !isOff && onImport(address.trim())}
      onClose={onClose}
    >
      {isOff ? (
        <p>
          This service does not import from GitHub. Clone the repository and drop its folder here, or run{" "}
          <code>preview push</code>.
        </p>
      ) : (
        <>
          <label className={styles.renameField}>
            Address of a public repository, or of a branch or folder in it
            <input
              className={controls.field}
              type="text"
              inputMode="url"
              autoCapitalize="off"
              spellCheck={false}
              required
              maxLength={1024}
              value={address}
              placeholder={`${site ?? "https://github.com"}/OWNER/NAME`}
              autoFocus
              onChange={(event) => setAddress(event.target.value)}
            />
          </label>
          <p>
            Nothing runs until you launch it. If the repository is private, clone it and run <code>preview push</code>.
          </p>
        </>
      )}
    </Ask>
  );
}
