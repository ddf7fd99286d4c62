/** The options of `tsintercept`. */
import { listenAddress, networks, services } from './intercept_values.ts';
import type { OptionGroup } from './option_table.ts';
import { choice, hostPort, text } from './values.ts';

const REPLIES: OptionGroup = {
  heading: 'Whose replies',
  rows: [
    {
      name: 'service',
      short: 's',
      value: 'LIST',
      parse: services,
      timesMax: Number.POSITIVE_INFINITY,
      help: `Services whose replies are swallowed: ports (80,8081), or addresses with ports (10.0.0.9:80,[fd00::9]:80).
        A port alone stands for every address of this host, IPv4 and IPv6. An address that is not this host's own
        is that of a container on it. Repeatable`,
      default: 'none; needed',
    },
    {
      name: 'mode',
      short: 'm',
      value: 'MODE',
      parse: choice({ host: 'host', assistant: 'assistant' }),
      help: `host: this is the test server; rules of its own send the services' replies into a device that leads
        nowhere. assistant: this is another host, which the test server's route to the clients leads to`,
      default: 'host',
    },
    {
      name: 'interface',
      short: 'i',
      value: 'NAME',
      parse: text,
      help: `assistant: where the replies come in; needed. host: where the copies come in, for the check of rp_filter`,
      default: 'host: the interface of the service, or of the default route',
    },
    {
      name: 'except',
      short: 'x',
      value: 'CIDR',
      parse: networks,
      timesMax: Number.POSITIVE_INFINITY,
      help: `Networks whose clients are answered as ever, and are therefore not copied: the operator's own, monitors,
        load balancers that test the server itself. Commas between several; repeatable. Mode host only`,
      default: 'none: replies of the services go to nobody but this host itself',
    },
    {
      name: 'cleanup',
      help: `Take away rules, routes and device that a killed tsintercept has left, and exit. The next start does it,
        too`,
    },
  ],
};

const TUNNEL: OptionGroup = {
  heading: 'Tunnel to the agents',
  rows: [
    {
      name: 'listen',
      short: 'l',
      value: '[ADDRESS:]PORT',
      parse: listenAddress,
      help: 'Where agents (tscopy) connect. Port 0: any free one, told by the line that says ready',
      default: '0.0.0.0:36524',
    },
    {
      name: 'key-file',
      short: 'k',
      value: 'FILE',
      parse: text,
      help: `Key that agents and this command share: any file of at least 16 bytes that only its owner may read, the
        same on both hosts. Line ends behind the key do not count. There is no key by default`,
      default: '/etc/tsreplay/key',
    },
    {
      name: 'new-key',
      help: 'Write a new random key to FILE, or to /etc/tsreplay/key, readable by its owner only, and exit',
    },
    {
      name: 'tls-cert',
      value: 'FILE',
      parse: text,
      help: `Speak TLS with this certificate (PEM, with those that signed it). Without TLS the headers travel in the
        clear`,
    },
    { name: 'tls-key', value: 'FILE', parse: text, help: 'Private key of the certificate (PEM)' },
    {
      name: 'tls-ca',
      value: 'FILE',
      parse: text,
      help: 'Take agents only with a certificate signed by one of these (PEM)',
    },
  ],
};

const SHOWING: OptionGroup = {
  heading: 'Seeing what happens',
  rows: [
    {
      name: 'json',
      help: `One JSON object a line on standard output: ready, then the report; the log on standard error is JSON as
        well`,
    },
    {
      name: 'metrics-port',
      value: '[HOST:]PORT',
      parse: hostPort,
      help: 'Serve Prometheus metrics at /metrics. Without a host: on 127.0.0.1',
    },
    {
      name: 'log-level',
      value: 'LEVEL',
      parse: choice({ error: 'error', warn: 'warn', info: 'info', debug: 'debug' }),
      help: `Least weight of what is logged on standard error: error, warn (connections refused, faults of the ring),
        info (agents that come and go), debug`,
      default: 'info',
    },
    { name: 'quiet', short: 'q', help: 'No live line and no report' },
  ],
};

export const INTERCEPT_OPTIONS: readonly OptionGroup[] = [REPLIES, TUNNEL, SHOWING];
