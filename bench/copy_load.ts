/** Loads for the laboratory of copying: wrk, uploads, lines, redis. Each resolves when its clients have ended. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { LineClientResult, LineClientSpec } from '../lab/line_client.ts';
import type { LabProcess } from '../lab/process.ts';
import { BODY_PORT, PORT, PRODUCTION, type Rig } from '../test/copy/lab_rig.ts';

export type Load = (rig: Rig, seconds: number) => Promise<unknown>;

const POST_BYTES = 200_000;
const POSTS_A_SECOND = 33;
const REDIS_PORT = 6379;

/** Ends of a program that must succeed. */
async function done(running: LabProcess): Promise<string> {
  const { status } = await running.ended;
  if (status !== 0) throw new Error(`${running.argv.join(' ')}: ${running.stderr || running.stdout}`);
  return running.stdout;
}

export interface WrkOptions {
  /** Milliseconds between a connection's requests. */
  readonly pauseMs?: number;
  /** Requests sent at once. */
  readonly pipelined?: number;
  /** Requests are uploads of so many bytes. */
  readonly bodyBytes?: number;
  readonly headers?: readonly string[];
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
}

function wrkScript(rig: Rig, { pauseMs = 0, pipelined = 1, bodyBytes = 0 }: WrkOptions): string[] {
  if (pauseMs === 0 && pipelined === 1 && bodyBytes === 0) return [];
  const line = randomBytes(50).toString('hex');
  const body =
    bodyBytes === 0 ? '' : `wrk.method = "POST"\nwrk.body = string.rep("${line}", ${bodyBytes / line.length})\n`;
  const delay = pauseMs > 0 ? `function delay() return ${pauseMs} end\n` : '';
  const many = `init = function(args)\n  local one = wrk.format("GET", wrk.path)\n  all = one:rep(${pipelined})\nend
request = function() return all end\n`;
  return ['-s', rig.wrkScript(body + delay + (pipelined > 1 ? many : ''))];
}

/** wrk's own figures. */
export interface WrkResult {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

export async function runWrk(
  rig: Rig,
  seconds: number,
  connections: number,
  options: WrkOptions = {},
): Promise<WrkResult> {
  const shape = ['-t1', `-c${connections}`, `-d${seconds}`, '--latency', '--timeout', '10'];
  const headers = (options.headers ?? []).flatMap((header) => ['-H', header]);
  const url = `http://${options.host ?? PRODUCTION}:${options.port ?? PORT}${options.path ?? '/bench'}`;
  const text = await done(rig.clients.spawn(['wrk', ...shape, ...wrkScript(rig, options), ...headers, url]));
  const [, value, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text)!;
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]),
    p99Ms: Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'],
  };
}

export function wrk(connections: number, options: WrkOptions = {}): Load {
  return (rig, seconds) => runWrk(rig, seconds, connections, options);
}

export const CLOSE: readonly string[] = ['Connection: close'];

/** Uploads of 200 KB on many connections, `pauseMs` between those of one. */
export function pacedPosts(connections: number, pauseMs: number): Load {
  return wrk(connections, { pauseMs, bodyBytes: POST_BYTES, port: BODY_PORT, path: '/' });
}

/** Uploads of 200 KB, one after the other. */
export const post: Load = async (rig, seconds) => {
  const body = path.join(rig.lab.directory, 'body');
  fs.writeFileSync(body, randomBytes(POST_BYTES));
  const urls = Array.from({ length: seconds * POSTS_A_SECOND }, () => `http://${PRODUCTION}:${BODY_PORT}/`);
  await done(rig.clients.spawn(['curl', '-s', '--data-binary', `@${body}`, ...urls]));
};

/** Clients of the line servers; connections that break are a fault of the laboratory. */
export function lines(spec: Omit<LineClientSpec, 'host' | 'port' | 'seconds'>): Load {
  return async (rig, seconds) => {
    const result: LineClientResult = await rig.runLineClients({ ...spec, seconds });
    if (result.broken > 0) throw new Error(`${result.broken} connections with production broke`);
    return result;
  };
}

/** redis-benchmark: `pipelined` commands at once. */
export function redis(pipelined: number): Load {
  return async (rig, seconds) => {
    const requests = String(seconds * 3000 * pipelined);
    const shape = ['-h', PRODUCTION, '-p', String(REDIS_PORT), '-c', '20', '-n', requests, '-r', '1000'];
    await done(rig.clients.spawn(['redis-benchmark', ...shape, '-P', String(pipelined), '-t', 'set,get,incr,lpush']));
  };
}
