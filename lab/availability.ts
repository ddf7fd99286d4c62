import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { LAB_PATH } from './process.ts';

export function hasProgram(name: string): boolean {
  return LAB_PATH.split(':').some((dir) => dir !== '' && fs.existsSync(path.join(dir, name)));
}

/** A skip reason naming the first of `programs` that is missing, or null. */
export function programsMissing(...programs: readonly string[]): string | null {
  const missing = programs.filter((name) => !hasProgram(name));
  return missing.length === 0 ? null : `needs ${missing.join(', ')} (not installed)`;
}

const CAP_NET_ADMIN = 12;
const CAP_SYS_ADMIN = 21;

function hasCapability(bit: number): boolean {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(bit)) & 1n) === 1n;
}

let answer: string | null | undefined;

/**
 * Null when network-namespace hosts can be made here, else the reason to skip: `t.test(name, { skip: labUnavailable()
 * ?? false }, ...)`. Programs named in addition must be installed as well.
 */
export function labUnavailable(...programs: readonly string[]): string | null {
  answer ??= probe();
  return answer ?? programsMissing(...programs);
}

function probe(): string | null {
  if (process.platform !== 'linux') return 'needs Linux network namespaces';
  const missing = programsMissing('ip', 'setpriv');
  if (missing) return missing;
  if (!hasCapability(CAP_NET_ADMIN) || !hasCapability(CAP_SYS_ADMIN)) {
    return 'needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN for network namespaces)';
  }
  const options = { env: { ...process.env, PATH: LAB_PATH }, encoding: 'utf8' as const };
  const name = `tsrlab-${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', name], options);
  if (made.status !== 0) return `the kernel refuses network namespaces: ${made.stderr.trim()}`;
  const veth = spawnSync('ip', ['-n', name, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1'], options);
  spawnSync('ip', ['netns', 'del', name], options);
  return veth.status === 0 ? null : `the kernel has no veth: ${veth.stderr.trim()}`;
}

const INSIDE = 'TSREPLAY_LAB_UNSHARED';
/** The user keeps its number (as "root", programs would try to become another user, which has none here). */
const UNSHARE = ['--user', '--map-current-user', '--keep-caps', '--net', '--mount'];
const ENTER = 'mount -t tmpfs tmpfs /run && mkdir -p /run/netns && exec "$@"';

/**
 * For scripts started without root: runs this same command line again in a user, network and mount namespace where it
 * may make labs, and returns its exit status; null when nothing had to be done or the kernel does not allow it.
 */
export function rerunUnshared(): number | null {
  if (process.env[INSIDE] || labUnavailable() === null || process.platform !== 'linux') return null;
  const options = { env: { ...process.env, PATH: LAB_PATH, [INSIDE]: '1' } };
  const enter = [...UNSHARE, 'sh', '-c', ENTER, 'sh'];
  if (spawnSync('unshare', [...enter, 'ip', 'netns', 'add', 'probe'], { ...options, stdio: 'ignore' }).status !== 0) {
    return null;
  }
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return spawnSync('unshare', [...enter, ...again], { ...options, stdio: 'inherit' }).status ?? 1;
}
