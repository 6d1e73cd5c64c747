import { createContext, useContext } from "react";

import type { Role } from "../api/together";

/** What the person may do on this page; owners may do everything. */
export const RoleContext = createContext<Role>("owner");

export function useRole(): Role {
  return useContext(RoleContext);
}
