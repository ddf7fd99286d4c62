/** The options of `tscopy`, as data. */
import { ENGINE_DEFAULTS } from '../copy/options.ts';
import { bytes, interceptValue, mapValue, nanoseconds, poolValue, targetList } from './copy_values.ts';
import { PROBE } from './doctor_options.ts';
import { namespaceRows } from './namespace_options.ts';
import type { OptionGroup } from './option_table.ts';
import { choice, decimal, hostPort, integer, positive, text } from './values.ts';

const TIMES = Number.POSITIVE_INFINITY;

const WHAT: OptionGroup = {
  heading: 'What is copied, and where to',
  rows: [
    {
      name: 'target',
      value: 'HOST:PORT[,...]',
      parse: targetList,
      help: `Test server; the service of production has the same port. Several: each session goes to one of them, by a
        hash
        of client and port, or to all with --mirror`,
    },
    {
      name: 'map',
      value: '[IP:]PORT=HOST:PORT',
      parse: mapValue,
      timesMax: TIMES,
      help: `Sessions with this port of production (and this address, where given) go to that target. Repeatable; one
        service with several targets spreads its sessions over them`,
    },
    { name: 'mirror', help: 'Each session to every target of its service' },
    {
      name: 'interface',
      short: 'i',
      value: 'NAME',
      parse: text,
      help: 'Interface that the clients come in by; "any" is all of them',
      default: `that of the service's address, else that of the default route`,
    },
    ...namespaceRows('Take clients up'),
    {
      name: 'filter',
      value: 'EXPR',
      parse: text,
      help: `Copy only packets of clients that this expression accepts too (syntax of tcpdump), as
        "src net 10.1.0.0/16"`,
    },
    {
      name: 'percent',
      value: 'N',
      parse: decimal(0, '', 100),
      help: 'Copy this share of the clients, chosen by address: all sessions of a client, or none',
      default: '100',
    },
    {
      name: 'ramp',
      value: 'TIME',
      parse: nanoseconds('24h'),
      help: 'Rise to --percent over this time; clients are added, none is taken away',
    },
    { name: 'only-new', help: 'Leave sessions alone that were open before; else their next request begins a session' },
    {
      name: 'clone',
      value: 'N',
      parse: integer(1, 1024),
      help: `Play each session N times: the first as the client, the others from other ports of its address, or all from
        addresses of --client-pool; no two at once from the same address and port`,
      default: '1',
    },
    {
      name: 'client-pool',
      value: 'CIDR',
      parse: poolValue,
      help: `Play sessions from addresses of this IPv4 network, on the clients' ports; those of clients on this host as
        well, as of a proxy in front of the service (-i lo). Replies to it must be intercepted`,
    },
  ],
};

const REPLIES: OptionGroup = {
  heading: 'Replies of the target',
  rows: [
    {
      name: 'intercept',
      value: 'local|HOST[:PORT]',
      parse: interceptValue,
      help: `Who swallows replies and hands their headers back: tsintercept on HOST, or "local": this host, where it is
        the replies' next hop. Local sets a routing rule up that lets no reply of the service go on, and removes it`,
      default: 'the target, port 36524',
    },
    {
      name: 'key-file',
      value: 'FILE',
      parse: text,
      help: 'Key that this host and tsintercept share: at least 16 bytes, readable by its owner only',
      default: '/etc/tsreplay/key',
    },
    {
      name: 'tls-ca',
      value: 'FILE',
      parse: text,
      help: "Tunnel through TLS; tsintercept's certificate must be signed by one of these (PEM)",
    },
    { name: 'tls-cert', value: 'FILE', parse: text, help: 'Certificate that this host shows to tsintercept (PEM)' },
    { name: 'tls-key', value: 'FILE', parse: text, help: 'Its private key (PEM)' },
  ],
};

const PACING: OptionGroup = {
  heading: 'Requests and paths',
  rows: [
    { name: 'no-wait', help: "Requests do not wait for the target's reply to the one before" },
    {
      name: 'reply-deadline',
      value: 'TIME',
      parse: nanoseconds('1h'),
      help: 'Longest wait of a request for the reply to the one before; then it is sent anyway, and counted',
      default: '1s',
    },
    {
      name: 'rtt',
      value: 'TIME',
      parse: nanoseconds('1m'),
      help: 'A reply that was silent for this long has ended',
      default: '3ms',
    },
    {
      name: 'mtu',
      value: 'BYTES',
      parse: integer(576, 65_535),
      help: 'Longest IP packet to a target; it falls by itself where the kernel says that a packet is too long',
      default: "the interface's",
    },
    { name: 'mss', value: 'BYTES', parse: integer(64, 65_495), help: 'MSS offered to targets', default: 'by the MTU' },
    {
      name: 'sender',
      value: 'NAME',
      parse: choice({ af_packet: 'af_packet', raw_ip: 'raw_ip', raw_socket: 'raw_socket', auto: 'auto' }),
      help: `How packets leave. af_packet: frames to the next hop's address, past netfilter and conntrack. raw_ip:
        packets that the kernel routes. raw_socket: the same through the npm package, far slower. auto: af_packet where
        the way out is Ethernet`,
      default: 'auto',
    },
  ],
};

const OFFLINE: OptionGroup = {
  heading: 'Sessions out of files',
  rows: [
    {
      name: 'input',
      short: 'r',
      value: 'FILE',
      parse: text,
      timesMax: TIMES,
      help: `Play the clients' sessions of a capture (pcap, pcapng, gzip, zstd) as live sessions, in the place of live
        ones. Repeatable: one after the other`,
    },
    {
      name: 'multiplier',
      value: 'N',
      parse: positive(),
      help: 'Play N times as fast as captured',
      default: '1',
    },
    { name: 'loop', value: 'N', parse: integer(1), help: 'Play the files N times', default: '1' },
    {
      name: 'max-gap',
      value: 'TIME',
      parse: nanoseconds('24h'),
      help: 'Shorten pauses between packets of the capture to this',
      default: 'as captured',
    },
  ],
};

const LIMITS: OptionGroup = {
  heading: 'Limits',
  rows: [
    {
      name: 'max-sessions',
      value: 'N',
      parse: integer(1, 4_194_304),
      help: 'Sessions at once; more are not begun, and counted',
      default: String(ENGINE_DEFAULTS.maxSessions),
    },
    {
      name: 'memory',
      value: 'SIZE',
      parse: bytes(65_536, 17_179_869_184),
      help: "Bytes of clients' data that wait or are not acknowledged yet, over all sessions",
      default: '128M',
    },
    {
      name: 'session-memory',
      value: 'SIZE',
      parse: bytes(16_384, 1_073_741_824),
      help: 'The same for one session',
      default: 'three times what all sessions leave free, which is three quarters of --memory for one alone',
    },
    {
      name: 'when-full',
      value: 'POLICY',
      parse: choice({ hold: 'hold', skip: 'skip', drop: 'drop' }),
      help: `What becomes of a session that has no room. hold: what is stored is sent, what does not fit is left out
        up to
        the next request that fits. skip: what is stored is given up, too. drop: the session is ended`,
      default: 'hold',
    },
    {
      name: 'cpu-limit',
      value: 'PERCENT',
      parse: positive(),
      help: 'Above this share of one processor no session begins; those that run go on',
    },
    {
      name: 'workers',
      value: 'N',
      parse: integer(1, 64),
      help: 'Threads that copy; each session belongs to one',
      default: '1',
    },
    {
      name: 'buffer-size',
      value: 'SIZE',
      parse: bytes(2_097_152, 4_294_967_296),
      help: "The kernel's ring for clients' packets, all threads together",
      default: '32M',
    },
  ],
};

const SHOWING: OptionGroup = {
  heading: 'What is shown',
  rows: [
    {
      name: 'metrics-port',
      value: '[HOST:]PORT',
      parse: hostPort,
      help: 'Serve metrics for Prometheus at /metrics',
    },
    { name: 'stats', value: 'SECONDS', parse: decimal(0.1, '', 86_400), help: 'Print a line of counts this often' },
    {
      name: 'compare',
      help: `Capture production's replies, too, and compare them with the target's: HTTP status, length, times. The
        report says how they differ`,
    },
    {
      name: 'report',
      value: 'FILE',
      parse: text,
      help: `Compare, and write an HTML page with charts and the requests that differ to FILE: at the end, and on
        SIGHUP`,
    },
    { name: 'json', help: 'One JSON object a line on standard output: ready, notes, statistics, report' },
    {
      name: 'log-level',
      value: 'LEVEL',
      parse: choice({ debug: 'debug', info: 'info', warn: 'warn', error: 'error' }),
      help: 'Least important notes that are printed, on standard error',
      default: 'info',
    },
  ],
};

export const COPY_OPTIONS: readonly OptionGroup[] = [WHAT, REPLIES, PROBE, PACING, OFFLINE, LIMITS, SHOWING];
