import { type ReactNode, useState } from "react";

import { TIERS } from "../api/account";
import type { PreviewClient } from "../api/client";
import {
  createInvitation,
  type Invitation,
  listInvitations,
  type Member,
  removeMember,
  revokeInvitation,
} from "../api/invitations";
import { Button, CopyButton, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./account.module.css";
import { RecordTable } from "./RecordTable";
import { day, ROLES } from "./TokensView";

const DAY_S = 24 * 3_600;
const LIVES: readonly [string, number][] = [
  ["1 day", DAY_S],
  ["7 days", 7 * DAY_S],
  ["30 days", 30 * DAY_S],
];
const MOST_USES = 500;

/** The operator's invitations: make one, see its link once, revoke it, and remove the people whom it has admitted. */
export function InvitationsView({ client, onChanged }: { client: PreviewClient; onChanged: () => void }): ReactNode {
  const invitations = useLoad("invitations", (signal) => listInvitations(client, signal));
  const action = useAction();
  const [made, setMade] = useState<string | null>(null);
  const [revoked, setRevoked] = useState<Invitation | null>(null);
  const [removed, setRemoved] = useState<Member | null>(null);
  const change = (busy: string, act: () => Promise<unknown>): void =>
    void action.run(busy, async () => {
      await act();
      invitations.refresh();
      onChanged();
      return undefined;
    });
  const people = invitations.value?.flatMap((one) => one.people) ?? [];
  return (
    <>
      <NewInvitation
        isBusy={action.busy !== null}
        onMake={(note, uses, life, tier, role) =>
          change("Creating the invitation…", async () => {
            setMade((await createInvitation(client, { note, uses, expires_in: life, tier, role })).url);
          })
        }
      />
      <News action={action} />
      {made !== null && (
        <Notice role="status">
          <p>Send the link privately: it is not shown again.</p>
          <div className={styles.made}>
            <code>{made}</code>
            <CopyButton text={made} label="Copy the link" />
          </div>
        </Notice>
      )}
      {invitations.problem && (
        <Notice tone="bad" role="alert">
          {invitations.problem.message}
        </Notice>
      )}
      <RecordTable
        title="Invitations"
        heads={["For", "State", "Used", "Tier", "Role", "Until", ""]}
        rows={invitations.value?.map((one) => [
          visible(one.note) || "–",
          one.state,
          `${one.uses} of ${one.most_uses}`,
          one.tier,
          one.role,
          day(one.expires_at),
          one.state === "open" ? (
            <IconButton
              key="revoke"
              icon="clear"
              label={`Revoke the invitation ${visible(one.note) || one.id}`}
              onClick={() => setRevoked(one)}
            />
          ) : null,
        ])}
      />
      {people.length > 0 && (
        <RecordTable
          title="Invited people"
          heads={["User", "Name", "Role", "Since", ""]}
          rows={people.map((one) => [
            visible(one.user_id),
            visible(one.name) || "–",
            one.role,
            day(one.created_at),
            one.removed_at === null ? (
              <IconButton
                key="remove"
                icon="clear"
                label={`Remove ${visible(one.user_id)}`}
                onClick={() => setRemoved(one)}
              />
            ) : (
              "removed"
            ),
          ])}
        />
      )}
      {revoked && (
        <Ask
          title="Revoke this invitation?"
          action="Revoke"
          onClose={() => setRevoked(null)}
          onYes={() => change("Revoking…", () => revokeInvitation(client, revoked.id))}
        >
          <p>Nobody else can join with it. People who have joined stay.</p>
        </Ask>
      )}
      {removed && (
        <Ask
          title={`Remove ${visible(removed.user_id)}?`}
          action="Remove"
          onClose={() => setRemoved(null)}
          onYes={() => change("Removing…", () => removeMember(client, removed.user_id))}
        >
          <p>
            The person is signed out, and their API tokens are revoked. Their projects stay. Their running previews
            continue until they end or you stop them.
          </p>
        </Ask>
      )}
    </>
  );
}

interface NewInvitationProps {
  isBusy: boolean;
  onMake: (note: string, uses: number, lifeS: number, tier: string, role: string) => void;
}

function NewInvitation({ isBusy, onMake }: NewInvitationProps): ReactNode {
  const [note, setNote] = useState("");
  const [uses, setUses] = useState(1);
  const [life, setLife] = useState(7 * DAY_S);
  const [tier, setTier] = useState<string>("free");
  const [role, setRole] = useState("admin");
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        onMake(note.trim(), uses, life, tier, role);
      }}
    >
      <label>
        Invite
        <input
          className={controls.field}
          maxLength={100}
          placeholder="May workshop"
          value={note}
          onChange={(event) => setNote(event.target.value)}
        />
      </label>
      <label>
        People
        <input
          className={controls.field}
          type="number"
          min={1}
          max={MOST_USES}
          required
          value={uses}
          onChange={(event) => setUses(Number(event.target.value))}
        />
      </label>
      <label>
        Link expires in
        <select className={controls.field} value={life} onChange={(event) => setLife(Number(event.target.value))}>
          {LIVES.map(([words, seconds]) => (
            <option key={seconds} value={seconds}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label>
        Tier
        <select className={controls.field} value={tier} onChange={(event) => setTier(event.target.value)}>
          {TIERS.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <label>
        They may
        <select className={controls.field} value={role} onChange={(event) => setRole(event.target.value)}>
          {ROLES.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <Button kind="primary" type="submit" disabled={isBusy}>
        Create link
      </Button>
    </form>
  );
}
