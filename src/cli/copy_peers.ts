/** What tcpcopy's options are called in `tscopy`, for people who type them. */
import type { PeerOptions } from './option_table.ts';

/** `80-10.0.0.9:8080,10.0.0.1:81-10.0.0.9:81` as `--map` wants it. */
function maps(value: string): string {
  const parts = value.split(',').map((part) => /^([^-@]+)(?:@[^-]*)?-([^@]+)(?:@.*)?$/.exec(part));
  const found = parts.flatMap((match) => (match === null ? [] : [`--map ${match[1]}=${match[2]}`]));
  const typed = found.length === parts.length ? found.join(' ') : '--map 80=10.0.0.9:80';
  return `tcpcopy's -x is ${typed}, or --target where both ports are the same`;
}

const none = (what: string): string => `${what}: leave it out`;

/** Letters that `tscopy` has for something else (`-i`, `-r`, `-h`) do not stand here. */
export const TCPCOPY_OPTIONS: PeerOptions = {
  '-x': maps,
  '-s': "tcpcopy's -s is --intercept HOST[:PORT]",
  '-p': "tcpcopy's -p stands in --intercept HOST:PORT",
  '-n': "tcpcopy's -n is --clone N",
  '-c': "tcpcopy's -c is --client-pool CIDR",
  '-H': 'clients on this host are played from --client-pool CIDR, with -i lo',
  '-f': 'one agent copies to several targets (--map, --mirror) and several times (--clone N), without clashes of ports',
  '-g': "tcpcopy's -g is --ramp 100s",
  '-O': "tcpcopy's -O is --only-new",
  '-W': "tcpcopy's -W is --no-wait",
  '-L': none('the agent always outlives its interception, and connects again'),
  '-R': "tcpcopy's -R is --rtt 3ms",
  '-M': "tcpcopy's -M is --mtu BYTES",
  '-D': "tcpcopy's -D is --mss BYTES",
  '-t': none('sessions that the target does not answer end by themselves'),
  '-k': none('idle sessions end by themselves'),
  '-U': none('memory of a session grows with what waits in it; --session-memory bounds it'),
  '-m': "tcpcopy's -m is --memory SIZE, which does not end the agent",
  '-C': none('each thread has one connection to the interception, for all of its sessions'),
  '-l': 'notes go to standard error: 2> FILE, or --json',
  '-P': 'it stays in the foreground: run it by systemd (deploy/systemd), or with &',
  '-d': 'it stays in the foreground: run it by systemd (deploy/systemd), or with &',
  '-v': 'the version is told by -V',
  '-F': "tcpcopy's -F is --filter EXPR",
  '-B': "tcpcopy's -B is --buffer-size SIZE",
  '-S': none('packets of clients are always taken whole'),
  '-o': none('the interface is found from the route to the target'),
  '-a': "tcpcopy's -a is --multiplier N",
  '-I': "tcpcopy's -I is --max-gap TIME",
  '-T': "tcpcopy's -T is --loop N",
};

/** intercept's. */
export const INTERCEPT_PEER_OPTIONS: PeerOptions = {
  '-F': "intercept's -F 'tcp and src port 80' is --service 80",
  '-p': "intercept's -p is --listen PORT",
  '-b': "intercept's -b is --listen ADDRESS:PORT",
  '-n': none('replies are joined by themselves'),
  '-D': none('a service in a container is named by the address and port that it has there'),
  '-c': none('many agents may be connected at once'),
  '-t': none("intercept's -t does nothing"),
  '-P': 'it stays in the foreground: run it by systemd (deploy/systemd), or with &',
  '-d': 'it stays in the foreground: run it by systemd (deploy/systemd), or with &',
  '-v': 'the version is told by -V',
};
