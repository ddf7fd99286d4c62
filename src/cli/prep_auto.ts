/** `--auto` and the options around it, for every command that splits packets without a cache file. */
import { AUTO_DEFAULTS, type AutoMode, type AutoSpec } from '../flow/direction.ts';
import type { OptionRow } from './option_table.ts';
import { choice, decimal, integer, usage } from './values.ts';

export const AUTO_MODES: Readonly<Record<string, string>> = {
  bridge: 'bridge',
  router: 'router',
  client: 'client',
  server: 'server',
  first: 'first',
};

/** For commands that also have other ways to split. */
export const AUTO_ROWS: readonly OptionRow[] = [
  {
    name: 'auto',
    value: 'MODE',
    ours: true,
    parse: choice(AUTO_MODES),
    help: `Split without a cache: clients' packets are primary, servers' secondary, told apart as by tsprep --auto, in
      mode bridge, router, client, server or first. The captures are read once more beforehand, all of them together`,
  },
  {
    name: 'ratio',
    value: 'N',
    ours: true,
    parse: decimal(0),
    help: '--auto: a host is a server when it acted as one at least N times as often as as a client',
    unit: 'times',
    default: '2.0',
  },
  {
    name: 'minmask',
    value: 'N',
    ours: true,
    parse: integer(0, 32),
    help: '--auto router: longest prefix of a server network; four times as long for IPv6',
    unit: 'bits',
    default: '30',
  },
  {
    name: 'maxmask',
    value: 'N',
    ours: true,
    parse: integer(0, 32),
    help: '--auto router: shortest prefix of a server network; four times as long for IPv6',
    unit: 'bits',
    default: '8',
  },
  {
    name: 'nonip',
    ours: true,
    help: '--auto: packets without an IP header are primary instead of secondary',
  },
];

/** As the option parsers leave them, by commander's attribute names. */
export interface AutoOptions {
  readonly auto?: AutoMode;
  readonly ratio?: number;
  readonly minmask?: number;
  readonly maxmask?: number;
  readonly nonip?: true;
  readonly reverse?: true;
  readonly compat?: 'tcpprep';
}

/** `--auto` and the options around it; shared by every command that takes `--auto`. */
export function autoSpecFrom(mode: AutoMode, options: AutoOptions): AutoSpec {
  const compat = options.compat === 'tcpprep';
  const minmask = options.minmask ?? AUTO_DEFAULTS.minmask;
  const maxmask = options.maxmask ?? AUTO_DEFAULTS.maxmask;
  if (maxmask >= minmask) {
    throw usage(`--maxmask ${maxmask} is to be less than --minmask ${minmask}: it is the shorter prefix`);
  }
  return {
    kind: 'auto',
    mode,
    ratio: options.ratio ?? AUTO_DEFAULTS.ratio,
    minmask,
    maxmask,
    nonIpPrimary: options.nonip ?? false,
    reverse: (options.reverse ?? false) && !compat,
    compat,
  };
}
