import type { ReactNode } from "react";

import { Faces } from "./Faces";
import { useTogether } from "./useTogether";

/** The faces of those who have a generation's page open. */
export function PeopleHere({ generationId, onShow }: { generationId: string; onShow: () => void }): ReactNode {
  const { viewers } = useTogether(generationId);
  return <Faces viewers={viewers} onShow={onShow} />;
}
