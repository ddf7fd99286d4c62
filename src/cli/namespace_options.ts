/** The options that name another network namespace: `--netns`, `--pid`. */
import type { NamespaceSpec } from '../device/host_capture.ts';
import type { OptionRow } from './option_table.ts';
import { integer, text } from './values.ts';

export interface NamespaceOptions {
  readonly netns?: string;
  readonly pid?: number;
}

/** Null: the namespace of this process. */
export function namespaceOf({ netns, pid }: NamespaceOptions): NamespaceSpec | null {
  if (pid !== undefined) return { path: `/proc/${pid}/ns/net`, label: `network namespace of process ${pid}` };
  if (netns === undefined) return null;
  return { path: netns.includes('/') ? netns : `/run/netns/${netns}`, label: `network namespace ${netns}` };
}

/** `what`: what is done there, as "Capture". */
export const namespaceRows = (what: string): readonly OptionRow[] => [
  {
    name: 'netns',
    value: 'NAME',
    parse: text,
    help: `${what} in this network namespace (ip netns list shows the names), or in that of a path`,
  },
  {
    name: 'pid',
    value: 'PID',
    parse: integer(1, 2 ** 22),
    help: `${what} in the network namespace of a process: a container`,
  },
];
