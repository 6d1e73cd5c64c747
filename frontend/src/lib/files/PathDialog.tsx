import { type ReactNode, useEffect, useId, useRef, useState } from "react";

import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import styles from "./files.module.css";
import { badPath } from "./text";

interface PathDialogProps {
  title: string;
  action: string;
  path: string;
  taken: readonly string[];
  onPath: (path: string) => void;
  onClose: () => void;
}

/** Asks for the path of a file. */
export function PathDialog(props: PathDialogProps): ReactNode {
  const t = useTranslate();
  const [path, setPath] = useState(props.path);
  const [isTried, setTried] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => field.current?.select(), []);
  const bad = badPath(t, path.trim(), props.taken);
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        className={styles.ask}
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (bad !== null) return field.current?.focus();
          props.onPath(path.trim());
          props.onClose();
        }}
      >
        <label>
          {t("Path")}
          <input
            ref={field}
            className={controls.field}
            value={path}
            spellCheck={false}
            autoComplete="off"
            placeholder="app/main.py"
            aria-invalid={isTried && bad !== null}
            aria-describedby={id}
            onChange={(event) => setPath(event.target.value)}
          />
        </label>
        <p id={id} className={styles.bad} role="alert">
          {isTried && bad}
        </p>
        <div className={controls.dialogButtons}>
          <Button onClick={props.onClose}>{t("Cancel")}</Button>
          <Button kind="primary" type="submit">
            {props.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
