import { type ReactNode, useEffect, useId, useRef } from "react";

import { useTranslate } from "../texts/translate";
import { Button, IconButton } from "./controls";
import controls from "./controls.module.css";

interface DialogProps {
  title: string;
  /** Called when it is closed, by a button or the Escape key. */
  onClose: () => void;
  /** Whether its content needs more than a form's width. */
  wide?: boolean;
  children: ReactNode;
}

/** A modal dialog, open for as long as it is rendered; the focus returns where it was. */
export function Dialog({ title, onClose, wide = false, children }: DialogProps): ReactNode {
  const t = useTranslate();
  const dialog = useModal();
  return (
    <dialog
      ref={dialog}
      className={wide ? `${controls.dialog} ${controls.wideDialog}` : controls.dialog}
      aria-label={title}
      // A question inside this dialog closes by itself.
      onClose={(event) => event.target === event.currentTarget && onClose()}
    >
      <div className={controls.dialogHead}>
        <h3>{title}</h3>
        <IconButton icon="close" label={t("Close")} onClick={() => dialog.current?.close()} />
      </div>
      {children}
    </dialog>
  );
}

interface AskProps extends DialogProps {
  /** The word on the button that does it. */
  action: string;
  kind?: "primary" | "danger";
  onYes: () => void;
}

/** A modal question before something happens. Escape and Cancel do nothing. */
export function Ask({ title, action, kind = "danger", onYes, onClose, children }: AskProps): ReactNode {
  const t = useTranslate();
  const dialog = useModal();
  const id = useId();
  return (
    <dialog
      ref={dialog}
      role={kind === "danger" ? "alertdialog" : "dialog"}
      className={controls.dialog}
      aria-label={title}
      aria-describedby={id}
      onClose={onClose}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          dialog.current?.close();
          onYes();
        }}
      >
        <div className={controls.dialogHead}>
          <h3>{title}</h3>
        </div>
        <div id={id}>{children}</div>
        <div className={controls.dialogButtons}>
          <Button onClick={() => dialog.current?.close()}>{t("Cancel")}</Button>
          <Button kind={kind} type="submit">
            {action}
          </Button>
        </div>
      </form>
    </dialog>
  );
}

function useModal() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return dialog;
}
