/** Threads that are worth starting: reading and writing one file do not go faster with more. */
export const WORKERS_MAX = 16;
