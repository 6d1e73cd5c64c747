import { type ReactNode, useState } from "react";

import {
  changeTier,
  drainNode,
  dropTemplate,
  operatorPreviews,
  operatorUsers,
  rebuildTemplate,
  removeEnvironment,
  serviceNodes,
  stopAnyPreview,
  storedEnvironments,
  templatesOf,
  TIERS,
} from "../api/account";
import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog";
import { ago, duration } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { AuditView } from "./AuditView";
import { InvitationsView } from "./InvitationsView";
import { LivePreviewsView } from "./LivePreviewsView";
import { RecordTable } from "./RecordTable";
import { day } from "./TokensView";
import { amount } from "./UsageView";

interface Question {
  title: string;
  text: string;
  action: string;
  busy: string;
  act: () => Promise<void>;
}

/** All previews, users, environments, templates, machines and changes of the service; nothing of what others' previews print or receive. */
export function OperatorView({ client }: { client: PreviewClient }): ReactNode {
  const t = useTranslate();
  const previews = useLoad("previews", (signal) => operatorPreviews(client, null, signal));
  const users = useLoad("users", (signal) => operatorUsers(client, signal));
  const environments = useLoad("environments", (signal) => storedEnvironments(client, signal));
  const templates = useLoad("templates", (signal) => templatesOf(client, signal));
  const nodes = useLoad("nodes", (signal) => serviceNodes(client, signal));
  const action = useAction();
  const [question, setQuestion] = useState<Question | null>(null);
  const refresh = (): void => {
    previews.refresh();
    users.refresh();
    environments.refresh();
    templates.refresh();
    nodes.refresh();
  };
  const problem = previews.problem ?? users.problem ?? environments.problem ?? templates.problem ?? nodes.problem;
  // The nodes of a cluster have addresses. Environments and templates are those of one node.
  const isCluster = nodes.value?.some((one) => one.address !== null) ?? false;
  const where = isCluster ? " on the node that answers" : "";
  const machines = (
    <RecordTable
      title="Nodes"
      heads={["Name", "State", "System", "Processors", "Previews", "Isolation", ""]}
      rows={nodes.value?.map((one) => [
        visible(one.name),
        one.is_live ? (one.is_draining ? "draining" : "live") : "lost",
        visible(one.system),
        one.processors,
        `${one.live_previews} of ${one.max_previews}`,
        visible(one.isolation),
        one.address !== null && (
          <IconButton
            key="drain"
            icon={one.is_draining ? "restart" : "clear"}
            label={`${one.is_draining ? "Resume" : "Drain"} ${visible(one.name)}`}
            onClick={() =>
              setQuestion({
                title: one.is_draining ? "Resume this node?" : "Drain this node?",
                text: one.is_draining
                  ? "It accepts new previews again."
                  : "It accepts no new previews. Its running previews are restarted on other nodes.",
                action: one.is_draining ? "Resume" : "Drain",
                busy: one.is_draining ? "Resuming…" : "Draining…",
                act: () => drainNode(client, one.name, !one.is_draining),
              })
            }
          />
        ),
      ])}
    />
  );
  return (
    <>
      {problem && (
        <Notice tone="bad" role="alert">
          {problem.message}
        </Notice>
      )}
      <News action={action} />
      <div>
        <Button small icon="restart" onClick={refresh}>
          Refresh
        </Button>
      </div>
      {isCluster && machines}
      <LivePreviewsView
        client={client}
        isCluster={isCluster}
        first={previews.value}
        action={action}
        onStop={(one) =>
          setQuestion({
            title: `Stop the preview of ${visible(one.user_id)}?`,
            text: "Its processes end; its user can launch it again.",
            action: "Stop",
            busy: "Stopping…",
            act: () => stopAnyPreview(client, one.id),
          })
        }
      />
      <RecordTable
        title="Users"
        heads={["User", "Tier", "Previews", "Projects", "Files", "Since"]}
        rows={users.value?.items.map((one) => [
          visible(one.id),
          <select
            key="tier"
            className={controls.field}
            aria-label={`Tier of ${visible(one.id)}`}
            value={one.tier}
            disabled={action.busy !== null}
            onChange={(event) => {
              const tier = event.target.value;
              void action.run("Changing the tier…", async () => {
                await changeTier(client, one.id, tier);
                users.refresh();
                return `${visible(one.id)} will be in tier ${tier} from the next launch.`;
              });
            }}
          >
            {TIERS.map((tier) => (
              <option key={tier}>{tier}</option>
            ))}
          </select>,
          one.previews,
          one.generations,
          amount(one.stored_bytes, "bytes"),
          day(one.created_at),
        ])}
      />
      <InvitationsView client={client} onChanged={users.refresh} />
      <RecordTable
        title={`Environments${where}`}
        heads={["Key", "Size", "Last used", ""]}
        rows={environments.value?.items.map((one) => [
          one.id,
          amount(one.size_bytes, "bytes"),
          one.in_use ? "in use" : ago(t, one.last_used_at),
          one.in_use ? null : (
            <IconButton
              key="remove"
              icon="clear"
              label={`Delete ${one.id}`}
              onClick={() =>
                setQuestion({
                  title: "Delete this environment?",
                  text: "The next launch that needs these packages installs them again.",
                  action: "Delete",
                  busy: "Deleting…",
                  act: () => removeEnvironment(client, one.id),
                })
              }
            />
          ),
        ])}
      />
      <RecordTable
        title={`Templates${where}: ${templates.value?.items.filter((one) => one.is_ready).length ?? 0} of ${templates.value?.limit ?? "–"} ready`}
        heads={["Environment", "State", "Starts", "Age", ""]}
        rows={templates.value?.items.map((one) => [
          one.key,
          one.is_ready ? "ready" : visible(one.why_not),
          one.forks,
          one.age_s === null ? "–" : duration(one.age_s),
          <span key="renew">
            <IconButton
              icon="restart"
              label={`Rebuild the template of ${one.key}`}
              onClick={() =>
                setQuestion({
                  title: "Rebuild this template?",
                  text: "Launches use the old one until the new one is ready. Running previews keep running.",
                  action: "Rebuild",
                  busy: "Rebuilding…",
                  act: () => rebuildTemplate(client, one.key),
                })
              }
            />
            {one.is_ready && (
              <IconButton
                icon="clear"
                label={`Drop the template of ${one.key}`}
                onClick={() =>
                  setQuestion({
                    title: "Drop this template?",
                    text: "Its memory is freed. The next launch starts cold and creates a new one. Running previews keep running.",
                    action: "Drop",
                    busy: "Dropping…",
                    act: () => dropTemplate(client, one.key),
                  })
                }
              />
            )}
          </span>,
        ])}
      />
      {!isCluster && machines}
      <AuditView client={client} isOperator />
      {question && (
        <Ask
          title={question.title}
          action={question.action}
          onClose={() => setQuestion(null)}
          onYes={() =>
            void action.run(question.busy, async () => {
              await question.act();
              refresh();
              return undefined;
            })
          }
        >
          <p>{question.text}</p>
        </Ask>
      )}
    </>
  );
}
