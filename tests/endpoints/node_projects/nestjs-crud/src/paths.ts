export const PATHS = { items: 'items', notes: 'notes' } as const;
