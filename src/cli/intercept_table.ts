/** `tsintercept` as data: its options, which of them need or exclude which, and the notes of its help. */
import type { CommandTable } from './command_line.ts';
import { INTERCEPT_PEER_OPTIONS } from './copy_peers.ts';
import { INTERCEPT_OPTIONS } from './intercept_options.ts';
import type { Rule } from './rules.ts';

const OTHERS = ['service', 'mode', 'interface', 'except', 'listen', 'metrics-port', 'json'];

const RULES: readonly Rule[] = [
  { oneOf: ['cleanup', 'new-key'], why: 'each does one thing and ends' },
  { option: 'cleanup', excludes: OTHERS, why: 'it takes everything away, whoever left it' },
  { option: 'new-key', excludes: [...OTHERS, 'key-file'], why: 'it writes a file and ends' },
  { option: 'tls-cert', needs: ['tls-key'] },
  { option: 'tls-key', needs: ['tls-cert'] },
  { option: 'tls-ca', needs: ['tls-cert'] },
];

const NOTES: readonly string[] = [
  `Mode host needs CAP_NET_ADMIN and CAP_NET_RAW, mode assistant CAP_NET_RAW. Strict reverse-path filtering
   (rp_filter=1) would drop the copies, forwarding on an assistant would send replies to real clients: either is
   refused, with the line that mends it.`,
  `While it runs in mode host, the services answer nobody but the networks of --except and this host itself. Connections
   that the services have open with others stand still, and are ended when it stops.`,
  `Signals: SIGINT and SIGTERM tell the agents, end the copied connections, take the rules down and report.`,
  `Exit status: 0 done; 1 something could not be taken away; 2 the command line or a file it names is wrong; 3 the
   machine refused (permission, interface, port in use); 130 interrupted.`,
];

export const INTERCEPT_TABLE: CommandTable = {
  name: 'tsintercept',
  about: `Swallows a test server's replies to copied clients, so that none reaches a real one, and hands their headers
    to tscopy.`,
  operands: '[FILE]',
  groups: INTERCEPT_OPTIONS,
  rules: RULES,
  sections: ['TSINTERCEPT'],
  peers: INTERCEPT_PEER_OPTIONS,
  notes: NOTES,
};
