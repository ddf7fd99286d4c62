/** Flows: the symmetric hash that shards them, and the table that counts them. */
export * from './hash.ts';
export * from './table.ts';
