/** What a capture needs of the machine besides sources: waiting for several, processor time, namespaces. */
export { POLLIN } from '../sys/layout.ts';
export { enterNamespace, insideNamespace, type NamespaceSpec } from '../sys/namespace.ts';
export { PollSet, processCpuMs } from '../sys/poll.ts';
export { pauseMicroseconds } from '../sys/socket.ts';
